/** How old a pool's values are against what they may be, in a few steps; and the squares of a heat map. Pure. */
import type { FreshnessCell } from '../../../client/tracker/freshness';

export const HEATS = [
  { id: 'fresh', word: '1 ×' },
  { id: 'good', word: '2 ×' },
  { id: 'old', word: '3 ×' },
  { id: 'stale', word: '10 ×' },
  { id: 'ancient', word: 'more' },
  { id: 'untold', word: 'not known' },
] as const;

export type Heat = (typeof HEATS)[number]['id'];

/** Its keeper tells it each ten seconds or so: what is older than this is not what is. */
const UNTOLD_MS = 60_000;

/**
 * The age of the most overdue value, in lifetimes of its own. A keeper of an older release does not tell it: then it is
 * reckoned as if no answer had said how long it is good.
 */
export const lifetimesOf = ({ lifetimes, maxMs }: FreshnessCell, everyMs: number): number =>
  lifetimes ?? (maxMs ?? 0) / everyMs;

/** Three lifetimes is the bound of `stale`, as `status` counts it. */
export function heat(cell: FreshnessCell, everyMs: number): Heat {
  if (cell.toldMs > UNTOLD_MS) return 'untold';
  const times = lifetimesOf(cell, everyMs);
  // A value is an interval old just before its next run, and that run takes its time.
  if (times <= 1.25) return 'fresh';
  if (times <= 2) return 'good';
  if (times <= 3) return 'old';
  return times <= 10 ? 'stale' : 'ancient';
}

/** One path for each heat that some pool has. */
export function squaresOf(
  pools: number,
  cells: ReadonlyMap<number, FreshnessCell>,
  everyMs: number,
  across: number,
  size: number,
): { id: Heat; path: string }[] {
  const paths = new Map<Heat, string>();
  const side = size - 1;
  for (let pool = 0; pool < pools; pool++) {
    const cell = cells.get(pool);
    const id = cell ? heat(cell, everyMs) : 'untold';
    const square = `M${(pool % across) * size} ${Math.floor(pool / across) * size}h${side}v${side}h-${side}z`;
    paths.set(id, (paths.get(id) ?? '') + square);
  }
  return [...paths].map(([id, path]) => ({ id, path }));
}
