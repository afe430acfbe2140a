/** Keys of rows, a text for each column. Compared by passes (`regen.ts`, `sweep.ts`) and chunks (`store/rows.ts`). */

type Key = readonly string[] | null | undefined;

/** PostgreSQL keeps no NUL in a text, so it may part them. */
export function sameKey(a: Key, b: Key): boolean {
  return a?.join('\0') === b?.join('\0');
}
