/**
 * The lazy form of a regen: what a row's value is by now, computed where it is read, from what is stored and since
 * when; nothing is written by a clock. From the same `rule` as the eager one, as SQL and as a function. Exported by the
 * library as `lazyRegen`.
 *
 * Code that writes the value, or anything that the rule or the condition reads (a death, a new maximum), stores the
 * value as it is by then, and that time with it.
 */
import { escapeIdentifier } from 'pg';
import { ruleValue, ruleWhere } from './rule';
import type { Rule } from '../../workflows/job/options';
import { ConfigError } from '../../config/errors';
import { compileExpression, compileTyped, sqlType, type ColumnTypes, type Row } from './evaluate';
import type { RegenDefinition } from '../../config/define/job';
import { resolveConfig } from '../../config/resolve/config';

export interface LazyRegen {
  /**
   * A SQL expression: the value by now.
   * @param columns.asOf an expression for the time since when the stored value holds, such as `stamina_at`
   * @param columns.now @default `now()`
   */
  sql(columns: { asOf: string; now?: string }): string;
  /**
   * The same from a row that was read.
   * @param row has the column of the rule, and those that its expressions read
   * @throws TypeError when the row lacks one of them, or its expressions need types that were not given
   */
  value(row: Row, asOf: Date, now?: Date): number;
  /** How many ticks of the eager form lie after `asOf`, up to `now`. */
  ticks(asOf: Date, now?: Date): number;
}

/**
 * @param options.types PostgreSQL's types of the columns that the rule and the condition read:
 *   `{ endurance: 'integer' }`. `value` needs them where they decide what an operator does: whether a division gives
 *   whole numbers, what a comparison with text in quotes means
 * @throws ConfigError when the definition has no rule or no interval; TypeError when `value` could not compute its
 *   expressions
 */
export function lazyRegen(definition: RegenDefinition, options: { types?: ColumnTypes } = {}): LazyRegen {
  const { work, schedule } = resolveConfig({ regens: [definition] }).jobs[0]!.options;
  if (work.kind !== 'regen' || !('set' in work) || !work.rule || !('everyMs' in schedule)) {
    throw new ConfigError([`regens.${definition.name}: only one with a rule and an interval (every) has a lazy form`]);
  }
  const { rule, where } = work;
  const { everyMs } = schedule;
  // A caller that gives no types may want the form in SQL alone, which needs none.
  let made: ReturnType<typeof computeOf> | undefined;
  const compute = () => (made ??= computeOf(rule, where, options.types ?? {}));
  if (options.types) compute();
  else refuseUnknown(rule, where);
  const ticks = (asOf: Date, now: Date): number =>
    Math.max(0, Math.floor(now.getTime() / everyMs) - Math.floor(asOf.getTime() / everyMs));
  return {
    sql: ({ asOf, now = 'now()' }) => lazySql(rule, where, everyMs, asOf, now),
    value: (row, asOf, now = new Date()) => compute()(row, ticks(asOf, now)),
    ticks: (asOf, now = new Date()) => ticks(asOf, now),
  };
}

function lazySql(rule: Rule, where: string | undefined, everyMs: number, asOf: string, now: string): string {
  const value = escapeIdentifier(rule.column);
  const tick = (time: string): string => `floor(extract(epoch from (${time}\n)) * 1000 / ${everyMs})`;
  const ticks = `(${tick(now)} - ${tick(asOf)})::integer`;
  const conditions = [where, ruleWhere(rule)].flatMap((one) => (one === undefined ? [] : [`(${one}\n)`]));
  const when = [`(${now}\n) > (${asOf}\n)`, ...conditions].join(' and ');
  return `case when ${when} then ${ruleValue(rule, value, ticks)} else ${value} end`;
}

/** Whatever the types are, this cannot be computed. */
function refuseUnknown(rule: Rule, where: string | undefined): void {
  const all = [rule.add, rule.max, rule.min, where].flatMap((sql) => (sql === undefined ? [] : [sql]));
  for (const sql of all) {
    try {
      compileExpression(sql);
    } catch (error) {
      if (!/: give it, as in/.test((error as Error).message)) throw error;
    }
  }
}

function computeOf(rule: Rule, where: string | undefined, types: ColumnTypes): (row: Row, ticks: number) => number {
  const column = compileExpression(escapeIdentifier(rule.column), types);
  const { type, value: add } = compileTyped(rule.add, types);
  const stored = types[rule.column];
  if (stored !== undefined && sqlType(stored) === 'integer' && type === 'numeric') {
    throw new TypeError(
      `'${rule.add}' keeps fractions, and ${rule.column} is ${stored}: each tick of the eager form would be rounded`,
    );
  }
  const limit = (sql: string | undefined) => (sql === undefined ? undefined : compileExpression(sql, types));
  const [max, min, condition] = [limit(rule.max), limit(rule.min), limit(where)];
  return (row, ticks) => {
    const value = Number(column(row));
    if (ticks === 0 || (condition && condition(row) !== true)) return value;
    const step = Number(add(row));
    const moved = value + ticks * step;
    const top = max?.(row) ?? null;
    const bottom = min?.(row) ?? null;
    if (max && min) return step >= 0 ? upTo(moved, value, top) : downTo(moved, value, bottom);
    if (max) return top === null || value >= Number(top) ? value : upTo(moved, value, top);
    if (min) return bottom === null || value <= Number(bottom) ? value : downTo(moved, value, bottom);
    return moved;
  };
}

/** PostgreSQL's least and greatest pass over nulls. */
const upTo = (moved: number, value: number, top: unknown): number =>
  top === null ? Math.min(moved, value) : Math.min(moved, Math.max(value, Number(top)));
const downTo = (moved: number, value: number, bottom: unknown): number =>
  bottom === null ? Math.max(moved, value) : Math.max(moved, Math.min(value, Number(bottom)));
