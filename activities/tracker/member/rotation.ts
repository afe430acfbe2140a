/**
 * The mail tables, filled in turn (as PgQ does it): new mail goes to one of them for a minute, then to the next. A
 * table that was emptied is truncated, so that a snapshot which somebody holds open for minutes, and which keeps dead
 * rows from being cleaned, slows nothing down. One node decides each few seconds, from what it has read; the store
 * carries it out.
 *
 * Readers look into all tables by one statement, so mail is found wherever it is. A sender that was told of the table
 * before may still write to it; that is why a table is truncated under an exclusive lock, and only if it is empty
 * under it.
 */
import type { MemberLimits } from './constants';

export interface MailTable {
  /** Live rows, counted no further than this matters. */
  readonly rows: number;
  /** Whether it was truncated since it took new mail. */
  readonly isClean: boolean;
}

export interface MailTables {
  /** The one that takes new mail. */
  readonly current: number;
  /** Since when. By the database's clock, as `now`. */
  readonly since: number;
  readonly tables: readonly MailTable[];
}

/**
 * - `truncate`: under an exclusive lock that is waited for 100 ms at most; if it has rows by then, nothing is done.
 * - `carry`: its last rows go to the table that takes new mail, under the same lock, each with the number that it
 *   has.
 * - `turn`: the next one, which is clean, takes new mail from now on.
 */
export type TableStep =
  | { readonly do: 'turn'; readonly to: number }
  | { readonly do: 'truncate'; readonly table: number }
  | { readonly do: 'carry'; readonly table: number }
  | undefined;

/**
 * The next step, one at a time.
 * @param busy tables whose lock was not to be had a short while ago: the others are seen to first
 */
export function tableStep(
  { current, since, tables }: MailTables,
  now: number,
  limits: MemberLimits,
  busy: ReadonlySet<number> = new Set(),
): TableStep {
  const others = tables.map((_, i) => (current + 1 + i) % tables.length).filter((table) => table !== current);
  const empty = others.find((table) => !tables[table]!.isClean && tables[table]!.rows === 0 && !busy.has(table));
  if (empty !== undefined) return { do: 'truncate', table: empty };
  const isTime = now - since >= limits.tableMs;
  const clean = others.find((table) => tables[table]!.isClean);
  // If nothing was written, there is nothing to clean.
  if (isTime && clean !== undefined && !(tables[current]!.isClean && tables[current]!.rows === 0)) {
    return { do: 'turn', to: clean };
  }
  // Mail that waits long (its handler fails, nobody keeps its pool) would keep its table for as long.
  const small = others.find((table) => {
    const { rows } = tables[table]!;
    return rows > 0 && rows <= limits.carryRows && !busy.has(table);
  });
  return isTime && clean === undefined && small !== undefined ? { do: 'carry', table: small } : undefined;
}
