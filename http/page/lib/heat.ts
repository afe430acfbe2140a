/** How old a pool's values are against their interval, in a few steps; and the squares of a heat map. Pure. */
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

/** Three intervals is the bound of `stale`, as `status` counts it. */
export function heat({ maxMs, toldMs }: FreshnessCell, everyMs: number): Heat {
  if (toldMs > UNTOLD_MS) return 'untold';
  const times = (maxMs ?? 0) / everyMs;
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
