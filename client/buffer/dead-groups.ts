/** Dead letters by what their errors say, for `DeadLetters.byError`: the page, `longwatch dead list --by-error`. */
import type { Connections } from '../connections';
import { foldAll } from '../fold-error';
import { iso } from '../iso';
import { DEAD_GROUPS } from './queries';

/** Dead letters whose last errors differ in numbers and ids alone. */
export interface DeadGroup {
  /** The error without what differs; as the filter `group` it chooses these letters. */
  text: string;
  letters: number;
  /** One of them, with its own words. */
  example: { id: string; error: string };
  firstDiedAt: string;
  lastDiedAt: string;
}

export interface DeadReport {
  /** The most frequent first. */
  groups: DeadGroup[];
  /** Letters that were looked at, the newest ones. */
  looked: number;
  /** False: there are more than were looked at, so the groups' numbers are those of a part. */
  complete: boolean;
}

/** Letters that are looked at, at most. */
const LOOKED = 10_000;

interface Row {
  [column: string]: unknown;
  looked: number;
  /** Null: there is none. */
  letters: number | null;
  first_at: number;
  last_at: number;
  shard: number;
  entry: number;
  error: string | null;
}

interface Example {
  id: string;
  error: string;
  firstAt: number;
  lastAt: number;
}

export async function groupDead(connections: Connections, buffer: string): Promise<DeadReport> {
  const rows = await connections.rows<Row>(DEAD_GROUPS, [buffer, LOOKED]);
  const counted = rows.flatMap((row) => {
    if (row.letters === null) return [];
    const id = `${row.shard}-${row.entry}`;
    const example: Example = { id, error: row.error ?? '', firstAt: row.first_at, lastAt: row.last_at };
    return [{ error: example.error, count: row.letters, example }];
  });
  const groups = foldAll(counted, (a, b) => ({
    ...a,
    firstAt: Math.min(a.firstAt, b.firstAt),
    lastAt: Math.max(a.lastAt, b.lastAt),
  }));
  return {
    groups: groups.map(({ text, count, example }) => ({
      text,
      letters: count,
      example: { id: example.id, error: example.error },
      firstDiedAt: iso(example.firstAt),
      lastDiedAt: iso(example.lastAt),
    })),
    looked: rows[0]!.looked,
    complete: rows[0]!.looked < LOOKED && rows.length < 1_000,
  };
}
