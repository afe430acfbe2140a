/**
 * Rows into a table by COPY, the cheapest way there is for rows that nobody else can have written. Used by `blocks.ts` and
 * `receipts.ts`.
 */
import { finished } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import type { Queryable } from './database';

type Value = string | number | boolean | null;

/**
 * Rows as COPY reads them: one flat string, which costs the collector nothing while it waits for its transaction.
 * @param values of a row, in the order of the columns: numbers, decimal strings, booleans, and {@link bytea}, none of which
 * needs quoting.
 */
export function copyText<T>(rows: readonly T[], values: (row: T) => Value[]): string {
  return rows.map((row) => `${values(row).map(copyValue).join('\t')}\n`).join('');
}

function copyValue(value: Value): Value {
  return value ?? '\\N';
}

/** @param target the table and its columns: `chain.log (block_number, …)`. */
export async function copy(db: Queryable, target: string, texts: readonly string[]): Promise<void> {
  const text = texts.join('');
  if (text === '') return;
  const stream = db.query(copyFrom(`copy ${target} from stdin`));
  stream.end(text);
  await finished(stream);
}

/** '0x…' as the text of a bytea, its backslash escaped. */
export function bytea(hex: string | null | undefined): string | null {
  return hex === null || hex === undefined ? null : `\\\\${hex.slice(1)}`;
}
