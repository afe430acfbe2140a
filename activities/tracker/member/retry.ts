/**
 * Says what becomes of a message whose handler has failed. `ended.ts` asks; the answer is a row of the same commit as
 * all else that the turn came to, so neither an attempt nor a dead letter is lost with a node.
 */
import { hashId } from '../../../workflows/lib/hash';
import type { MemberLimits } from './constants';

/**
 * The wait before the next attempt, milliseconds: doubled each time, and a quarter of it by the message's own number,
 * so that those that failed together do not come back together. Undefined: it is dead.
 * @param failures including this one
 */
export function waitAfter(failures: number, key: string, limits: MemberLimits): number | undefined {
  if (failures >= limits.attempts) return undefined;
  const longest = Math.min(limits.backoffMs * 2 ** (failures - 1), limits.backoffMaxMs);
  const share = hashId(`${key}/${failures}`) / 2 ** 32;
  return Math.round(longest * (0.75 + 0.25 * share));
}
