/**
 * A regen's rule as SQL, for both of its uses: the statement of a tick (`statement.ts`) and the lazy form, which
 * computes the value where it is read (`activities/job/lazy.ts`). One text, so that they cannot disagree.
 */
import { escapeIdentifier } from 'pg';
import type { Rule } from '../../workflows/job/options';

/**
 * The value after some ticks: `add` for each, up to `max` or down to `min`. A limit stops a value on its way; one that
 * is beyond it already is not moved back. So n ticks at once are the same as n times one.
 */
export function ruleValue({ add, max, min }: Rule, value: string, ticks: string): string {
  const moved = `${value} + ${ticks} * (${add}\n)`;
  const up = max === undefined ? moved : `least(${moved}, greatest(${value}, (${max}\n)))`;
  const down = min === undefined ? moved : `greatest(${moved}, least(${value}, (${min}\n)))`;
  if (max === undefined) return down;
  return min === undefined ? up : `case when (${add}\n) >= 0 then ${up} else ${down} end`;
}

/**
 * The rows that a tick changes, as far as the rule itself says. With both limits a row at one may still move to the
 * other.
 */
export function ruleWhere({ column, max, min }: Rule): string | undefined {
  const value = escapeIdentifier(column);
  if (max !== undefined && min === undefined) return `${value} < (${max}\n)`;
  if (min !== undefined && max === undefined) return `${value} > (${min}\n)`;
  return undefined;
}
