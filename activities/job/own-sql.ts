/**
 * Whether a regen's own `sql` can be cut into chunks: it is one UPDATE of the job's table, and `:range` is a condition
 * of its own in its WHERE clause. `where a or :range` and a range of another table would advance a row in each chunk.
 * Read by a parser; what it cannot read is refused, since nobody would know what it does. The plan is a second look at
 * the same. Called by `check.ts`.
 */
import { parse, type Expr, type Statement as Parsed, type UpdateStatement } from 'pgsql-ast-parser';
import { run, type Queryable, type Statement } from '../lib/database';
import { bad, showTable, type TableFacts } from './catalog';
import { modifies, planOf } from './plan-tree';
import { scan, type Piece } from '../lib/scan';
import type { RegenWork } from './statement';
import { Template } from './template';

type OwnSql = Extract<RegenWork, { sql: string }>;

/** Stands for a range while the statement is read. */
const MARK = 'longwatch_range';
const RESOLVE: Statement = {
  name: 'job-resolve',
  text: `select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.oid = to_regclass(case when $1::text is null then quote_ident($2) else quote_ident($1) || '.' || quote_ident($2) end)`,
};

export async function checkOwnSql(db: Queryable, work: OwnSql, table: TableFacts, all: boolean): Promise<void> {
  const ranges = scan(work.sql).filter(({ kind, name }) => kind === 'placeholder' && name === 'range');
  if (ranges.length === 0 && !all) {
    throw bad("sql: it has no :range; write it into the WHERE clause (or set chunk: 'all')");
  }
  const update = readUpdate(work.sql);
  const { name, schema, alias } = update.table;
  const [found] = await run<{ oid: number; schema: string; name: string }>(db, RESOLVE, [schema ?? null, name]);
  if (found?.oid !== table.oid) {
    throw bad(
      `sql: it updates ${showTable(found ?? { schema, name })}, not the table of the job (${showTable(work.table)})`,
    );
  }
  if (ranges.length === 0) return;
  const moved = update.sets.find(({ column }) => table.key.some((part) => part.name === column.name));
  if (moved) {
    throw bad(`sql: ${moved.column.name} is part of the key, along which the chunks go; it cannot be changed`);
  }
  const own = conjuncts(update.where).filter(isMark);
  if (ranges.length > 1 || own.length !== 1) {
    throw bad(
      'sql: :range must stand once, joined by AND to the other conditions of the WHERE clause: update … where (…) and :range',
    );
  }
  const given = rangeAlias(own[0]!);
  const target = alias ?? name;
  if (given !== undefined && given !== target) {
    throw bad(`sql: :range(${given}) must be of the table that is updated, which is ${target} here`);
  }
  await lookAtPlan(db, work);
}

/**
 * Words that PostgreSQL knows and the parser does not, and what is read in their place. None of them says which rows
 * are chosen beside the condition, and what replaces them binds no looser: a `:range` that stands alone in the text
 * that is read stands alone in the statement.
 */
const READ_AS: [RegExp, string][] = [
  [/\bupdate\s+only\b/gi, 'update'],
  [/\bis\s+(not\s+)?distinct\s+from\b/gi, '='],
  [/\bas\s+(not\s+)?materialized\b/gi, 'as'],
];

function readUpdate(sql: string): UpdateStatement {
  const readable = readAs(sql)
    .map(({ kind, text, name, alias }) => {
      if (kind !== 'placeholder') return text;
      if (name === 'range') return `${MARK}('${(alias ?? '').replace(/'/g, "''")}')`;
      return name === 'elapsed' ? '(1)' : '(now())';
    })
    .join('');
  let statements: Parsed[];
  try {
    statements = parse(readable);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw bad(
      `sql: PostgreSQL takes it, but it cannot be read here, so it is not known whether :range bounds it (${reason}); use set and where`,
    );
  }
  const [statement, ...more] = statements;
  const reads = statement?.type === 'with' && statement.bind.every(({ statement: one }) => one.type === 'select');
  const update = reads ? statement.in : statement;
  if (more.length > 0 || update?.type !== 'update') {
    throw bad('sql: it must be one UPDATE; rows that go are the work of a decay');
  }
  return update;
}

/** The pieces with those words replaced; what is in strings, quoted names and placeholders stays as it is. */
function readAs(sql: string): Piece[] {
  let text = '';
  let words = '';
  const flush = (): void => {
    text += READ_AS.reduce((some, [from, to]) => some.replace(from, to), words);
    words = '';
  };
  for (const piece of scan(sql)) {
    if (piece.kind === 'word' || piece.kind === 'space') words += piece.text;
    else if (piece.kind === 'comment') words += ' ';
    else {
      flush();
      text += piece.text;
    }
  }
  flush();
  return scan(text);
}

const conjuncts = (where: Expr | null | undefined): Expr[] =>
  where?.type === 'binary' && where.op === 'AND'
    ? [...conjuncts(where.left), ...conjuncts(where.right)]
    : where
      ? [where]
      : [];

const isMark = (expression: Expr): boolean => expression.type === 'call' && expression.function.name === MARK;

/** As PostgreSQL folds it. */
function rangeAlias(mark: Expr): string | undefined {
  const [given] = mark.type === 'call' ? mark.args : [];
  const text = given?.type === 'string' ? given.value : '';
  if (text === '') return undefined;
  return text.startsWith('"') ? text.slice(1, -1).replace(/""/g, '"') : text.toLowerCase();
}

/**
 * With `false` in place of the range nothing can match, so the planner finds nothing to do; and there is no second
 * change in it.
 */
async function lookAtPlan(db: Queryable, work: OwnSql): Promise<void> {
  const never = new Template().expression('sql', work.sql, () => 'false');
  const root = await planOf(db, never);
  // Beside it stand the plans of a CTE and of subqueries that are computed once (InitPlan).
  const rows = root.Plans?.find((plan) => plan['Parent Relationship'] === 'Outer');
  const nothing = rows?.['Node Type'] === 'Result' && rows['One-Time Filter'] === 'false';
  if (!nothing || modifies(root) !== 1) {
    throw bad(
      'sql: by its plan, rows outside of :range would be changed as well; join :range by AND to the other conditions',
    );
  }
}
