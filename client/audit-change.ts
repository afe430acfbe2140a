/**
 * The change that a command made, in words: `every: 1s → 2s`. Pure and without imports of Node, since the dashboard's
 * page says the same as `longwatch audit`.
 */
import { isObject, type Json } from '../workflows/lib/json';

const NONE = 'none';

/** Fields that differ; where none does, all of them. One that is null on a side is none there. */
export function changeText(before: Json | undefined, after: Json | undefined): string {
  const [was, is] = [fields(before), fields(after)];
  if (isObject(before) && isObject(after)) {
    // A field that only one side names is another fact: what was asked for, say, and what came of it.
    for (const name of Object.keys(was)) if (after[name] === null) is[name] = NONE;
    for (const name of Object.keys(is)) if (before[name] === null) was[name] = NONE;
  }
  const names = [...new Set([...Object.keys(was), ...Object.keys(is)])];
  const differing = names.filter((name) => was[name] !== is[name]);
  const parts = (differing.length > 0 ? differing : names).map((name) =>
    was[name] !== undefined && is[name] !== undefined && was[name] !== is[name]
      ? `${name}: ${was[name]} → ${is[name]}`
      : `${name}: ${is[name] ?? was[name]}`,
  );
  return parts.join(', ');
}

function fields(value: Json | undefined): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([name, inner]) => [name, typeof inner === 'string' ? inner : JSON.stringify(inner)]),
  );
}
