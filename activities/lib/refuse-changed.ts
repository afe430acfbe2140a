/**
 * Options that somebody else has set since they were read are not overwritten: the row that holds them has another
 * version by then. Asked under the row's lock by the stores of trackers, buffers and jobs, and only where something
 * would change: an attempt whose answer was lost finds its own change there.
 */
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from './failures';

/** @throws Changed. @param expects the version that the sender has read; undefined: any will do */
export function refuseChanged(noun: string, version: number, expects: number | undefined): void {
  if (expects === undefined || version === expects) return;
  throw failure(ErrorType.Changed, `somebody has changed ${noun} meanwhile; nothing was set`);
}
