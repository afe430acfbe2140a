/** The result of a shift, as its workflow gets it: how it ended, where, and what was done in it. Made by `keep.ts`. */
import type { ShiftResult } from '../../../workflows/tracker/contract';
import type { Node } from './node';
import type { PoolShift } from './pool-shift';

/** @param shift undefined: none came about */
export function resultOf(
  end: ShiftResult['end'],
  node: Node,
  shift: PoolShift | undefined,
  ranMs: number,
): ShiftResult {
  const result: ShiftResult = {
    end,
    node: node.row.name,
    members: shift?.members.size ?? 0,
    ranMs,
    fetched: 0,
    failed: 0,
    skipped: 0,
  };
  for (const { counts } of shift?.loops.values() ?? []) {
    result.fetched += counts.fetched;
    result.failed += counts.failed;
    result.skipped += counts.skippedLate + counts.skippedLag;
  }
  return result;
}
