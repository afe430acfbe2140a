/**
 * Rows as PostgreSQL array literals, a column each, for `unnest`. Built here, since pg's own serializer is slow at
 * thousands of rows; nothing needs quoting but bytea, for everything else is a number or null. Used by `blocks.ts` and
 * `receipts.ts`.
 */

type Value = string | number | boolean | null | undefined;

/** Numbers, decimal strings, booleans. */
export function column<T>(rows: readonly T[], value: (row: T) => Value): string {
  let text = '';
  for (const row of rows) text += `${value(row) ?? 'NULL'},`;
  return `{${text.slice(0, -1)}}`;
}

/** '0x…' as bytea. */
export function byteColumn<T>(rows: readonly T[], value: (row: T) => string | null | undefined): string {
  return column(rows, (row) => {
    const each = value(row);
    return each === null || each === undefined ? each : `"\\\\${each.slice(1)}"`;
  });
}
