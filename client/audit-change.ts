/**
 * The change that a command made, in words: `every: 1s → 2s`. Pure and without imports of Node, since the dashboard's
 * page says the same as `longwatch audit`.
 */
import type { Json } from '../workflows/lib/json';

/** Fields that differ; where none does, all of them. */
export function changeText(before: Json | undefined, after: Json | undefined): string {
  const [was, is] = [fields(before), fields(after)];
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
  if (value === undefined || value === null || typeof value !== 'object' || Array.isArray(value)) return {};
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([name, inner]) => [name, typeof inner === 'string' ? inner : JSON.stringify(inner)]),
  );
}
