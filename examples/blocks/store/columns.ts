/**
 * Rows as PostgreSQL array literals, a column each, for `unnest`. Built here, since pg's own serializer is slow at thousands of
 * rows; nothing needs quoting but bytea, for everything else is a number or null. Used by `blocks.ts` and `receipts.ts`.
 */

type Value = string | number | boolean | null | undefined;

/** Numbers, decimal strings, booleans. */
export function column<T>(rows: readonly T[], value: (row: T) => Value): string {
  let text = '{';
  for (let k = 0; k < rows.length; k++) {
    if (k > 0) text += ',';
    const each = value(rows[k]!);
    text += each === null || each === undefined ? 'NULL' : String(each);
  }
  return text + '}';
}

/** '0x…' as bytea. */
export function byteColumn<T>(rows: readonly T[], value: (row: T) => string | null | undefined): string {
  let text = '{';
  for (let k = 0; k < rows.length; k++) {
    if (k > 0) text += ',';
    const each = value(rows[k]!);
    text += each === null || each === undefined ? 'NULL' : `"\\\\${each.slice(1)}"`;
  }
  return text + '}';
}
