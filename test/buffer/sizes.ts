/**
 * Entries of a simulated world by their sizes: one of 1 MB is a small object that says so. `jest.mock` puts
 * `sizedBytes` in the place of `jsonBytes` (`shard-simulation.test.ts`); one test holds its arithmetic against the JSON
 * of what `expand` makes of such values.
 */

/** An entry of the world: `size` is what its JSON has. */
export interface Sized {
  id: number;
  size: number;
  key?: string;
  /** How often `run` has changed it. */
  changed?: number;
}

const isSized = (value: object): value is Sized => 'size' in value && 'id' in value;

/**
 * Bytes of a value's JSON, where entries have the sizes that they say. All texts of the world are ASCII without
 * escapes.
 */
export function sizedBytes(value: unknown): number {
  if (value === undefined) return 0;
  if (value === null || typeof value === 'boolean') return String(value).length;
  if (typeof value === 'number') return Number.isFinite(value) ? String(value).length : 4;
  if (typeof value === 'string') return value.length + 2;
  if (Array.isArray(value))
    return 2 + value.reduce<number>((sum, one) => sum + (sizedBytes(one) || 4) + 1, -1 * Number(value.length > 0));
  if (isSized(value)) return value.size;
  let bytes = 1;
  for (const [name, one] of Object.entries(value)) {
    if (one !== undefined) bytes += name.length + 4 + sizedBytes(one);
  }
  return Math.max(2, bytes);
}

/** The value with real entries in the place of sized ones. */
export function expand(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(expand);
  if (isSized(value)) return value.size < 2 ? 1 : 'x'.repeat(value.size - 2);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, expand(one)]));
}
