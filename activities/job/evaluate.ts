/**
 * A small part of SQL's expressions, computed in JavaScript as PostgreSQL does: numbers, columns, arithmetic,
 * comparisons, AND, OR, NOT, CASE, least, greatest, coalesce, abs, floor, ceil, casts to number types. Parsed by
 * pgsql-ast-parser. Used by `lazy.ts`; whatever is not in it is refused when the expression is compiled, not when it is
 * first used.
 *
 * The meaning of an operator depends on types, not on values: integers divide to integers, and 10.0 is none, nor is a
 * numeric column that holds 10 just now. JavaScript cannot tell, so the types of columns are given where they matter;
 * and text stays text.
 */
import { parse, type Expr } from 'pgsql-ast-parser';

type SqlValue = number | boolean | string | null;
export type Row = Readonly<Record<string, unknown>>;
type Evaluate = (row: Row) => SqlValue;

/**
 * `numeric`: any number that keeps fractions. `literal`: text in quotes, which takes the type of what stands beside it.
 */
type SqlType = 'integer' | 'numeric' | 'text' | 'boolean';
type Known = SqlType | 'literal' | 'null' | undefined;

/** Types of columns, by PostgreSQL's names. */
export type ColumnTypes = Readonly<Record<string, string>>;

interface Typed {
  type: Known;
  /** The columns to give, where the type is not known. */
  columns: string[];
  value: Evaluate;
}

/** @throws TypeError with the part that cannot be computed here. */
export function compileExpression(sql: string, types: ColumnTypes = {}): Evaluate {
  return compileTyped(sql, types).value;
}

/** The same, and its type, as far as it is known. */
export function compileTyped(sql: string, types: ColumnTypes = {}): { type: Known; value: Evaluate } {
  let parsed: Expr;
  try {
    const [statement, ...more] = parse(`select ${sql}\n`);
    const alone =
      statement?.type === 'select' && Object.keys(statement).every((key) => ['type', 'columns'].includes(key));
    if (!alone || more.length > 0 || statement.columns?.length !== 1)
      throw new Error('it is not a single SQL expression');
    parsed = statement.columns[0]!.expr;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new TypeError(`'${sql}' cannot be computed outside of the database: ${reason}`);
  }
  return new Compiler(sql, types).compile(parsed);
}

/** PostgreSQL's name of a type as what it means here. @throws TypeError for a type that cannot be computed with */
export function sqlType(name: string): SqlType {
  const plain = name
    .toLowerCase()
    .replace(/\(.*\)/, '')
    .trim();
  if (/^(smallint|integer|int|bigint|int2|int4|int8|serial|bigserial)$/.test(plain)) return 'integer';
  if (/^(numeric|decimal|real|double precision|float|float4|float8)$/.test(plain)) return 'numeric';
  if (/^(text|varchar|character varying|citext|uuid)$/.test(plain)) return 'text';
  if (/^(boolean|bool)$/.test(plain)) return 'boolean';
  throw new TypeError(`a column of type ${name} cannot be computed with outside of the database`);
}

class Compiler {
  constructor(
    private readonly sql: string,
    private readonly types: ColumnTypes,
  ) {}

  compile(expression: Expr): Typed {
    switch (expression.type) {
      case 'integer':
        return constant('integer', expression.value);
      case 'numeric':
        return constant('numeric', expression.value);
      case 'boolean':
        return constant('boolean', expression.value);
      case 'string':
        return constant('literal', expression.value);
      case 'null':
        return constant('null', null);
      case 'ref':
        if (expression.name === '*') break;
        return this.column(expression.name);
      case 'unary':
        return this.unary(expression.op, this.compile(expression.operand));
      case 'binary':
        return this.binary(expression.op, this.compile(expression.left), this.compile(expression.right));
      case 'call':
        return this.call(
          expression.function.name,
          expression.args.map((one) => this.compile(one)),
        );
      case 'cast': {
        const to = 'name' in expression.to ? expression.to.name : undefined;
        if (to === undefined || ('config' in expression.to && expression.to.config)) break;
        return this.cast(this.compile(expression.operand), to);
      }
      case 'case': {
        if (expression.value) break;
        const whens = expression.whens.map((one) => ({ when: this.compile(one.when), value: this.compile(one.value) }));
        const otherwise = expression.else ? this.compile(expression.else) : constant('null', null);
        return {
          ...this.common([...whens.map(({ value }) => value), otherwise]),
          value: (row) => (whens.find((one) => one.when.value(row) === true)?.value ?? otherwise).value(row),
        };
      }
    }
    return this.refuse('op' in expression ? String(expression.op) : expression.type);
  }

  private refuse(what: string): never {
    throw new TypeError(`'${this.sql}' cannot be computed outside of the database: it has ${what}`);
  }

  private column(name: string): Typed {
    const given = this.types[name];
    const type = given === undefined ? undefined : sqlType(given);
    return { type, columns: [name], value: (row) => valueOf(row, name, type) };
  }

  private unary(op: string, operand: Typed): Typed {
    const { value } = operand;
    if (op === '-') return { ...this.number(operand), value: (row) => numbers((a) => -a)(value(row), 0) };
    if (op === '+') return operand;
    const test = TESTS[op];
    return test ? { type: 'boolean', columns: [], value: (row) => test(value(row)) } : this.refuse(op);
  }

  private binary(op: string, left: Typed, right: Typed): Typed {
    const logic = LOGIC[op];
    if (logic) return { type: 'boolean', columns: [], value: (row) => logic(left.value(row), right.value(row)) };
    const compare = COMPARISONS[op];
    if (compare) return this.comparison(op, left, right, compare);
    const act = op === '/' ? this.division(left, right) : ARITHMETIC[op];
    if (!act) return this.refuse(op);
    const [a, b] = [this.number(left), this.number(right)];
    return { ...this.common([a, b]), value: (row) => numbers(act)(a.value(row), b.value(row)) };
  }

  private division(left: Typed, right: Typed): (a: number, b: number) => number {
    const unknown = [left, right].filter(({ type }) => type === undefined).flatMap(({ columns }) => columns);
    const types = [left, right].map(({ type }) => type);
    // One that keeps fractions decides it.
    if (unknown.length > 0 && !types.includes('numeric')) {
      throw new TypeError(
        `'${this.sql}' divides, and whether the result is whole depends on the type of ${unknown.join(' and ')}: give it, as in ` +
          `lazyRegen(regen, { types: { ${unknown[0]!}: 'integer' } })`,
      );
    }
    const whole = types.every((type) => type === 'integer' || type === 'null' || type === 'literal');
    return (a, b) => {
      if (b === 0) throw new RangeError('division by zero');
      return whole ? Math.trunc(a / b) : a / b;
    };
  }

  /** As an operand of arithmetic: what is in quotes takes the type of a number. */
  private number(one: Typed): Typed {
    if (one.type === 'text' || one.type === 'boolean') return this.refuse(`arithmetic with a ${one.type}`);
    if (one.type !== 'literal') return one;
    const number = Number(one.value({}));
    return Number.isInteger(number) ? constant('integer', number) : this.refuse('a number in quotes');
  }

  private comparison(op: string, left: Typed, right: Typed, act: (order: number) => boolean): Typed {
    const types = [left.type, right.type];
    const type = types.find((one) => one !== 'literal' && one !== 'null' && one !== undefined);
    const isText = type === 'text' || types.every((one) => one === 'literal' || one === 'null');
    if (types.includes('literal') && types.includes(undefined)) {
      const [name] = [...left.columns, ...right.columns];
      throw new TypeError(
        `'${this.sql}' compares ${name!} with text in quotes, and what that means depends on its type: give it, as in ` +
          `lazyRegen(regen, { types: { ${name!}: 'text' } })`,
      );
    }
    if (isText && op !== '=' && op !== '<>' && op !== '!=')
      return this.refuse('an order of texts, which depends on a collation');
    if (isText && types.some((one) => one === 'integer' || one === 'numeric'))
      return this.refuse('text beside a number');
    const [a, b] = isText || type === 'boolean' ? [left, right] : [this.number(left), this.number(right)];
    const isNumber = type === 'integer' || type === 'numeric';
    const compare = (given: SqlValue, other: SqlValue): SqlValue => {
      const [x, y] = isNumber ? [asNumber(given), asNumber(other)] : [given, other];
      if (x === null || y === null) return null;
      if (typeof x !== typeof y || (typeof x === 'string' && type === undefined && !isText)) {
        const names = [...left.columns, ...right.columns].join(' and ');
        throw new TypeError(`'${this.sql}' compares values whose types are not known: give those of ${names}`);
      }
      return act(x < y ? -1 : x > y ? 1 : 0);
    };
    return { type: 'boolean', columns: [], value: (row) => compare(a.value(row), b.value(row)) };
  }

  private call(name: string, args: Typed[]): Typed {
    const [first] = args;
    if (name === 'coalesce') {
      return {
        ...this.common(args),
        value: (row) => args.map((one) => one.value(row)).find((one) => one !== null) ?? null,
      };
    }
    const many = name === 'least' ? Math.min : name === 'greatest' ? Math.max : undefined;
    if (many) {
      const numeric = args.map((one) => this.number(one));
      return {
        ...this.common(numeric),
        value: (row) => {
          const known = numeric.flatMap((one) => asNumber(one.value(row)) ?? []);
          return known.length > 0 ? many(...known) : null;
        },
      };
    }
    const one = ROUNDINGS[name];
    if (!one || !first || args.length !== 1) return this.refuse(name);
    const given = this.number(first);
    // floor and ceil of an integer are of a type that keeps fractions.
    return {
      type: name === 'abs' ? given.type : 'numeric',
      columns: given.columns,
      value: (row) => numbers((a) => one(a))(given.value(row), 0),
    };
  }

  private cast(operand: Typed, to: string): Typed {
    const type = sqlType(to);
    if (type !== 'integer' && type !== 'numeric') return this.refuse(`a cast to ${to}`);
    const given = this.number(operand);
    if (type === 'numeric') return { ...given, type };
    if (given.type === 'integer') return given;
    // Halves go away from zero for one type that keeps fractions, to the even number for the other.
    return this.refuse(`a cast to ${to} of what may have fractions; use floor or ceil`);
  }

  /** The type of what may be any of these. */
  private common(all: Typed[]): Pick<Typed, 'type' | 'columns'> {
    const types = all.map(({ type }) => type).filter((type) => type !== 'null');
    const columns = all.filter(({ type }) => type === undefined).flatMap((one) => one.columns);
    if (types.length === 0) return { type: 'null', columns };
    if (types.includes('numeric') && types.every((type) => type !== 'text' && type !== 'boolean')) {
      return { type: 'numeric', columns: [] };
    }
    if (types.includes(undefined)) return { type: undefined, columns };
    const [one] = types.filter((type) => type !== 'literal');
    if (types.every((type) => type === one || type === 'literal')) return { type: one ?? 'literal', columns };
    return this.refuse(`values of different types (${types.join(', ')})`);
  }
}

const constant = (type: Known, value: SqlValue): Typed => ({ type, columns: [], value: () => value });

/** Numbers of PostgreSQL may come as text (bigint, numeric); text that looks like a number is none. */
function valueOf(row: Row, name: string, type: SqlType | undefined): SqlValue {
  const value = row[name];
  if (value === undefined) throw new TypeError(`the row has no ${name}`);
  if (typeof value === 'bigint') return exact(Number(value), name);
  if (typeof value === 'string' && (type === 'integer' || type === 'numeric')) {
    const number = Number(value);
    return type === 'integer' ? exact(number, name) : number;
  }
  return value as SqlValue;
}

function exact(value: number, name: string): number {
  if (Number.isSafeInteger(value)) return value;
  throw new RangeError(`${name} is beyond what a JavaScript number says exactly; use the form in SQL`);
}

/** An operand whose type is not known may be a number that came as text. */
function asNumber(value: SqlValue): number | null {
  if (value === null || typeof value === 'number') return value;
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : NaN;
  if (Number.isNaN(number) && value !== 'NaN') throw new TypeError(`${JSON.stringify(value)} is not a number`);
  return number;
}

const numbers =
  (act: (a: number, b: number) => number) =>
  (a: SqlValue, b: SqlValue): SqlValue => {
    const [x, y] = [asNumber(a), asNumber(b)];
    return x === null || y === null ? null : act(x, y);
  };

const ARITHMETIC: Record<string, ((a: number, b: number) => number) | undefined> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '%': (a, b) => {
    if (b === 0) throw new RangeError('division by zero');
    return a % b;
  },
};

const COMPARISONS: Record<string, ((order: number) => boolean) | undefined> = {
  '=': (order) => order === 0,
  '!=': (order) => order !== 0,
  '<>': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

/** Three values: false decides an AND, true an OR, whatever is not known. */
const LOGIC: Record<string, ((a: SqlValue, b: SqlValue) => SqlValue) | undefined> = {
  AND: (a, b) => (a === false || b === false ? false : a === null || b === null ? null : true),
  OR: (a, b) => (a === true || b === true ? true : a === null || b === null ? null : false),
};

const TESTS: Record<string, ((a: SqlValue) => SqlValue) | undefined> = {
  NOT: (a) => (a === null ? null : a !== true),
  'IS NULL': (a) => a === null,
  'IS NOT NULL': (a) => a !== null,
};

const ROUNDINGS: Record<string, ((a: number) => number) | undefined> = {
  abs: Math.abs,
  floor: Math.floor,
  ceil: Math.ceil,
  ceiling: Math.ceil,
};
