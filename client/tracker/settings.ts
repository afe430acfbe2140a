/** A tracker's options as people read them. Called by `handle.ts`. */
import {
  GATE_OPTIONS,
  OPERATION_OPTIONS,
  RECEIVE_OPTIONS,
  TRACKER_OPTIONS,
  withChanges,
  type TrackerOptions,
} from '../../workflows/tracker/options';
import type { OptionChanges, OptionSpec } from '../../workflows/lib/options';
import type { Setting } from '../settings';
import { settingOf } from '../settings';

/** Every option of a tracker, in the order of the options tables. */
export function settingsOf(stored: TrackerOptions, changes: OptionChanges): Setting[] {
  const inForce = withChanges(stored, changes);
  const setting = (spec: OptionSpec, prefix?: string): Setting => settingOf({ inForce, stored, changes }, spec, prefix);
  return [
    ...TRACKER_OPTIONS.map((spec) => setting(spec)),
    ...(inForce.gate ? GATE_OPTIONS.map((spec) => setting(spec)) : []),
    ...(inForce.receive ? RECEIVE_OPTIONS.map((spec) => setting(spec)) : []),
    ...Object.keys(inForce.operations).flatMap((operation) =>
      OPERATION_OPTIONS.map((spec) => setting(spec, `operations.${operation}.`)),
    ),
  ];
}
