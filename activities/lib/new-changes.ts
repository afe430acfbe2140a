/**
 * The changes that a row of options is to have after `config --set`. Options that somebody else has set since they were
 * read are not overwritten: the row that holds them has another version by then. This is asked only where something
 * would change: an attempt whose answer was lost finds its own change there. Called by the stores of trackers, buffers
 * and jobs, under the row's lock.
 */
import { changesAfter, type OptionChange, type OptionChanges } from '../../workflows/lib/options';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from './failures';
import { sameJson } from './same-json';

/**
 * @param noun the row, for the message
 * @param expects the version that the sender has read; undefined: any will do
 * @returns undefined: nothing is different
 * @throws Changed
 */
export function newChanges(
  noun: string,
  row: { readonly changes: OptionChanges; readonly version: number },
  changes: readonly OptionChange[],
  expects: number | undefined,
): OptionChanges | undefined {
  const next = changesAfter(row.changes, changes);
  if (sameJson(next, row.changes)) return undefined;
  if (expects === undefined || row.version === expects) return next;
  throw failure(ErrorType.Changed, `somebody has changed ${noun} meanwhile; nothing was set`);
}
