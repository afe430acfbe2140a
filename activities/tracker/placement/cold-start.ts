/**
 * The first node of a cold start sees nobody: it would take all pools, and give them away again when the others come a
 * second later. So for its first seconds it leaves on the shared queue what the nodes that were here a minute ago had
 * of it.
 */
import { PLACEMENT } from './constants';
import type { PlacementRow } from './row';

export const COLD_START = {
  /** All nodes of a deployment are there after this long. Milliseconds. */
  forMs: 3_000,
  /** A node that was seen within this time before the start is expected back, unless it has said good-bye. */
  expectedMs: 60_000,
} as const;

/**
 * Whether a node that started `upMs` ago should open its polls of shared queues now.
 * @param rows also those of nodes that are gone. Rows of nodes that have ended are not among them
 */
export function opensSharedQueues(
  self: { name: string; weight: number; load: number },
  rows: readonly PlacementRow[],
  upMs: number,
  nowMs: number,
): boolean {
  if (upMs >= COLD_START.forMs) return true;
  const recent = rows.filter(({ at }) => nowMs - at < COLD_START.expectedMs);
  const others = recent.filter(({ name, up }) => name !== self.name && up);
  // Somebody lives: then it is not the first, and what it should not have is redirected.
  if (others.length === 0 || others.some(({ at }) => nowMs - at < PLACEMENT.staleMs)) return true;
  const own = recent.find(({ name }) => name === self.name);
  const load = [...others, ...(own ? [own] : [])].reduce((sum, row) => sum + row.load, 0);
  const weights = others.reduce((sum, { weight }) => sum + weight, self.weight);
  return self.load < (load * self.weight) / weights;
}
