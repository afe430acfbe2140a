/** A line of small bars for a terminal: the course of a figure at a glance. Pure. Called by `verbs/history.ts`. */

const BARS = '▁▂▃▄▅▆▇█';

/**
 * @param values null: not known, which is a gap
 * @param width bars at most; more values are put together, each bar their mean
 */
export function sparkline(values: readonly (number | null)[], width: number): string {
  const bars = putTogether(values, width);
  const known = bars.filter((bar) => bar !== null);
  const most = Math.max(0, ...known);
  return bars
    .map((bar) => {
      if (bar === null) return ' ';
      // Only nothing is the lowest: the least of something is above it.
      const height = bar <= 0 || most === 0 ? 0 : Math.max(1, Math.round((bar / most) * (BARS.length - 1)));
      return BARS[height]!;
    })
    .join('');
}

function putTogether(values: readonly (number | null)[], width: number): (number | null)[] {
  if (values.length <= width) return [...values];
  return Array.from({ length: width }, (_, i) => {
    const part = values.slice(Math.floor((i * values.length) / width), Math.floor(((i + 1) * values.length) / width));
    return meanOf(part);
  });
}

/** The mean of those that are known; null: none is. */
export function meanOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}
