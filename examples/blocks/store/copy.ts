/**
 * Rows into a table by COPY, the cheapest way there is for rows that nobody else can have written. Used by `blocks.ts`
 * and `receipts.ts`.
 */
import { finished } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import type { Queryable } from './database';

/** Stands in a column that has no value. */
export const NULL = '\\N';

/**
 * Rows as COPY reads them, outside of the heap: while they wait for their transaction, the collector does not carry
 * them about.
 */
export interface CopyRows {
  bytes: Buffer;
  /** The index at which the rows of each group end. */
  ends: number[];
}

/** Written into and copied from; grown where it is too small. */
let scratch = Buffer.allocUnsafe(1024 * 1024);

/**
 * @param groups of rows, each of which may be left out by {@link copy}
 * @param line a row: its columns in their order with tabs between them and a line feed at the end, each a number, a
 *   decimal string,
 * {@link bytea} or {@link NULL}, none of which needs quoting: all of it is ASCII.
 */
export function copyRows<T>(groups: readonly (readonly T[])[], line: (row: T) => string): CopyRows {
  const ends: number[] = [];
  let end = 0;
  for (const group of groups) {
    let text = '';
    for (const row of group) text += line(row);
    if (end + text.length > scratch.length) {
      scratch = Buffer.concat([scratch], Math.max(2 * scratch.length, end + text.length));
    }
    end += scratch.write(text, end, 'latin1');
    ends.push(end);
  }
  return { bytes: Buffer.from(scratch.subarray(0, end)), ends };
}

/** @returns the groups whose number, in `numbers`, is one of `chosen` */
export function groupsAmong(numbers: readonly number[], chosen: readonly number[]): number[] {
  const isChosen = new Set(chosen);
  return numbers.flatMap((number, k) => (isChosen.has(number) ? [k] : []));
}

/**
 * @param target the table and its columns: `chain.log (block_number, …)`.
 * @param chosen the groups to be written, by their index, ascending
 */
export async function copy(db: Queryable, target: string, rows: CopyRows, chosen: readonly number[]): Promise<void> {
  const all = chosen.length === rows.ends.length;
  const bytes = all
    ? rows.bytes
    : Buffer.concat(chosen.map((k) => rows.bytes.subarray(rows.ends[k - 1] ?? 0, rows.ends[k])));
  if (bytes.length === 0) return;
  const stream = db.query(copyFrom(`copy ${target} from stdin`));
  stream.end(bytes);
  await finished(stream);
}

/** '0x…' as the text of a bytea, its backslash escaped. */
export function bytea(hex: string | null | undefined): string {
  return hex === null || hex === undefined ? NULL : `\\\\${hex.slice(1)}`;
}
