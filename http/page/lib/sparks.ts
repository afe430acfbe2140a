/**
 * The last hour of the things that a list shows, for their sparklines: asked of the server by their names once a
 * minute, so that a line begins with what was, and not with the page. Its newest point is the rate of just now
 * (`rates.ts`). Used by the overview's lists.
 */
import type { Series } from '../../../client/series';
import { at, get } from './api';
import type { Kind } from './charts';
import { figureOf, inAddresses, lineOf } from './spark-line';
import { useAsked } from './use';

/** A row of figures comes each minute. Milliseconds. */
const EVERY_MS = 60_000;
/** Lines of one list; the lists show fewer things at first. */
const MOST_NAMES = 400;

export type SparkOf = (name: string) => readonly (number | null)[] | undefined;

/** @returns the line of a thing; undefined: nothing was counted of it, or nothing was answered yet */
export function useSparks(kind: Kind, names: readonly string[]): SparkOf {
  const wanted = names.slice(0, MOST_NAMES);
  const key = wanted.length === 0 ? undefined : JSON.stringify([kind, wanted]);
  const { data } = useAsked(key, (signal) => ask(kind, wanted, signal), EVERY_MS);
  return (name) => data?.get(name);
}

async function ask(kind: Kind, names: readonly string[], signal: AbortSignal): Promise<Map<string, (number | null)[]>> {
  const lines = new Map<string, (number | null)[]>();
  for (const some of inAddresses(names)) {
    const query = { names: JSON.stringify(some), figures: figureOf(kind), step: '1m', limit: some.length };
    const { items } = await get<{ items: Series[] }>(at('history', kind), query, signal);
    for (const series of items) {
      const line = lineOf(series);
      if (line.length > 1) lines.set(series.name, line);
    }
  }
  return lines;
}
