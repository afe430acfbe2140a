/**
 * A small part of SQL's expressions, computed in JavaScript as PostgreSQL does: numbers, columns, arithmetic (integers divide to
 * integers), comparisons, AND, OR, NOT, CASE, least, greatest, coalesce, abs, floor, ceil. Parsed by pgsql-ast-parser. Used by
 * `lazy-regen.ts`; whatever is not in it is refused when the expression is compiled, not when it is first used.
 */
import { parse, type Expr } from 'pgsql-ast-parser';

export type SqlValue = number | boolean | string | null;
export type Row = Readonly<Record<string, unknown>>;
export type Evaluate = (row: Row) => SqlValue;

/** @throws TypeError with the part that cannot be computed here. */
export function compileExpression(sql: string): Evaluate {
  let parsed: Expr;
  try {
    const [statement, ...more] = parse(`select ${sql}\n`);
    const alone =
      statement?.type === 'select' && Object.keys(statement).every((key) => ['type', 'columns'].includes(key));
    if (!alone || more.length > 0 || statement.columns?.length !== 1) throw new Error('it is no expression');
    parsed = statement.columns[0]!.expr;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new TypeError(`'${sql}' cannot be computed outside of the database: ${reason}`);
  }
  return compile(parsed, sql);
}

function compile(expression: Expr, sql: string): Evaluate {
  const inner = (one: Expr): Evaluate => compile(one, sql);
  switch (expression.type) {
    case 'integer':
    case 'numeric':
    case 'boolean':
    case 'string':
      return () => expression.value;
    case 'null':
      return () => null;
    case 'ref':
      if (expression.name === '*') break;
      return (row) => valueOf(row, expression.name);
    case 'unary': {
      const operand = inner(expression.operand);
      const act = UNARY[expression.op];
      if (act) return (row) => act(operand(row));
      break;
    }
    case 'binary': {
      const [left, right, act] = [inner(expression.left), inner(expression.right), BINARY[expression.op]];
      if (act) return (row) => act(left(row), right(row));
      break;
    }
    case 'call': {
      const act = CALLS[expression.function.name];
      const given = expression.args.map(inner);
      if (act) return (row) => act(given.map((one) => one(row)));
      break;
    }
    case 'case': {
      if (expression.value) break;
      const whens = expression.whens.map((one) => ({ when: inner(one.when), value: inner(one.value) }));
      const otherwise = expression.else ? inner(expression.else) : () => null;
      return (row) => (whens.find((one) => one.when(row) === true)?.value ?? otherwise)(row);
    }
  }
  const what = 'op' in expression ? String(expression.op) : expression.type;
  throw new TypeError(`'${sql}' cannot be computed outside of the database: it has ${what}`);
}

/** Numbers of PostgreSQL may come as text (bigint, numeric). */
function valueOf(row: Row, name: string): SqlValue {
  const value = row[name];
  if (value === undefined) throw new TypeError(`the row has no ${name}`);
  if (typeof value === 'bigint' || (typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value))) return Number(value);
  return value as SqlValue;
}

type Numeric = (a: number, b: number) => SqlValue;
const numbers =
  (act: Numeric) =>
  (a: SqlValue, b: SqlValue): SqlValue =>
    a === null || b === null ? null : act(Number(a), Number(b));
const compared =
  (act: (a: number | string | boolean, b: number | string | boolean) => boolean) =>
  (a: SqlValue, b: SqlValue): SqlValue =>
    a === null || b === null ? null : act(a, b);

const divided: Numeric = (a, b) => {
  if (b === 0) throw new RangeError('division by zero');
  return Number.isInteger(a) && Number.isInteger(b) ? Math.trunc(a / b) : a / b;
};

const BINARY: Record<string, ((a: SqlValue, b: SqlValue) => SqlValue) | undefined> = {
  '+': numbers((a, b) => a + b),
  '-': numbers((a, b) => a - b),
  '*': numbers((a, b) => a * b),
  '/': numbers(divided),
  '%': numbers((a, b) => a - b * Math.trunc(a / b)),
  '=': compared((a, b) => a === b),
  '!=': compared((a, b) => a !== b),
  '<>': compared((a, b) => a !== b),
  '<': compared((a, b) => a < b),
  '<=': compared((a, b) => a <= b),
  '>': compared((a, b) => a > b),
  '>=': compared((a, b) => a >= b),
  // Three values: false decides an AND, true an OR, whatever is not known.
  AND: (a, b) => (a === false || b === false ? false : a === null || b === null ? null : true),
  OR: (a, b) => (a === true || b === true ? true : a === null || b === null ? null : false),
};

const UNARY: Record<string, ((a: SqlValue) => SqlValue) | undefined> = {
  '-': (a) => (a === null ? null : -Number(a)),
  '+': (a) => a,
  NOT: (a) => (a === null ? null : a !== true),
  'IS NULL': (a) => a === null,
  'IS NOT NULL': (a) => a !== null,
};

const known = (values: SqlValue[]): number[] => values.filter((value) => value !== null).map(Number);
const one =
  (act: (a: number) => number) =>
  ([a]: SqlValue[]): SqlValue =>
    a === null || a === undefined ? null : act(Number(a));

const CALLS: Record<string, ((values: SqlValue[]) => SqlValue) | undefined> = {
  least: (values) => (known(values).length > 0 ? Math.min(...known(values)) : null),
  greatest: (values) => (known(values).length > 0 ? Math.max(...known(values)) : null),
  coalesce: (values) => values.find((value) => value !== null) ?? null,
  abs: one(Math.abs),
  floor: one(Math.floor),
  ceil: one(Math.ceil),
};
