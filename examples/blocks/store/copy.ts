/**
 * Rows into a table by COPY, the cheapest way there is for rows that nobody else can have written. Used by `blocks.ts` and
 * `receipts.ts`.
 */
import { finished } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import type { Queryable } from './database';

type Value = string | number | boolean | null;

/**
 * @param target the table and its columns: `chain.log (block_number, …)`.
 * @param values of a row, in the order of the columns: numbers, decimal strings, booleans, and {@link bytea}, none of which
 * needs quoting.
 */
export async function copyRows<T>(
  db: Queryable,
  target: string,
  rows: readonly T[],
  values: (row: T) => Value[],
): Promise<void> {
  if (rows.length === 0) return;
  let text = '';
  for (const row of rows) text += line(values(row));
  const stream = db.query(copyFrom(`copy ${target} from stdin`));
  stream.end(text);
  await finished(stream);
}

function line(values: Value[]): string {
  let text = '';
  for (let k = 0; k < values.length; k++) {
    const value = values[k]!;
    text += (k === 0 ? '' : '\t') + (value === null ? '\\N' : String(value));
  }
  return text + '\n';
}

/** '0x…' as the text of a bytea, its backslash escaped. */
export function bytea(hex: string | null | undefined): string | null {
  return hex === null || hex === undefined ? null : `\\\\${hex.slice(1)}`;
}
