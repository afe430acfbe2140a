/** From the history of a thing to its sparkline; and questions for many of them. Pure; for `sparks.ts` and lists. */
import type { Series } from '../../../client/series';
import { perSecond, plain, type Kind } from './charts';

/** The column of each kind that a small line has room for: counts as rates, the load of a node as it is. */
const FIGURES: Record<Kind, { figure: string; isCount: boolean }> = {
  operation: { figure: 'fetched', isCount: true },
  buffer: { figure: 'done', isCount: true },
  job: { figure: 'rows', isCount: true },
  bucket: { figure: 'spent', isCount: true },
  node: { figure: 'eventLoop', isCount: false },
};

/** An address has room for so many characters. */
const MOST_CHARACTERS = 6_000;
/** The minute that is under way, and one that is being written, have no row yet. */
const UNWRITTEN = 2;

export const figureOf = (kind: Kind): string => FIGURES[kind].figure;

/** PostgreSQL keeps no such text: nothing has this name there, and a question with it is refused as a whole. */
// eslint-disable-next-line no-control-regex -- this is what is looked for
const UNSTORABLE = /\u0000|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** As many as one address has room for; a name that is too long for any, or that nothing can have, has no line. */
export function inAddresses(names: readonly string[]): string[][] {
  const groups: string[][] = [];
  let room = 0;
  for (const name of names) {
    const size = encodeURIComponent(JSON.stringify(name)).length + encodeURIComponent(',').length;
    if (size > MOST_CHARACTERS || UNSTORABLE.test(name)) continue;
    if (groups.length === 0 || size > room) {
      groups.push([]);
      room = MOST_CHARACTERS;
    }
    groups.at(-1)!.push(name);
    room -= size;
  }
  return groups;
}

/** From the first minute that was counted to the newest one; what was not counted in between is a gap. */
export function lineOf(series: Series): (number | null)[] {
  const { figure, isCount } = FIGURES[series.kind];
  const values = (isCount ? perSecond : plain)(figure)(series);
  const first = values.findIndex((value) => value !== null);
  if (first < 0) return [];
  let end = values.length;
  while (end > values.length - UNWRITTEN && values[end - 1] === null) end--;
  return values.slice(first, end);
}

/** With what it does just now at its end; a thing without a history yet has what this page has seen. */
export function withNow(
  past: readonly (number | null)[] | undefined,
  now: number | undefined,
  seen: readonly number[],
): readonly (number | null)[] {
  if (past === undefined) return seen;
  return now === undefined ? past : [...past, now];
}
