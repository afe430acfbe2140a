/**
 * Reads from PostgreSQL's plan of a statement more than its speed. Used by `check.ts`, `own-sql.ts` and `rows.ts`.
 */
import type { JobWork } from '../../workflows/job/options';
import { run, type Queryable, type Statement } from '../lib/database';
import type { TableFacts } from './catalog';
import { decayStatement, regenStatement } from './statement';
import type { Template } from './template';

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'One-Time Filter'?: string;
  /** `Outer`: its rows are the input of the node above it. `InitPlan`: computed once, beside it. */
  'Parent Relationship'?: string;
  Schema?: string;
  Plans?: PlanNode[];
}

/** The table with its partitions or children. */
const RELATIONS: Statement = {
  name: 'job-relations',
  text: `with recursive tree (oid) as (select $1::oid union select i.inhrelid from pg_inherits i join tree on i.inhparent = tree.oid)
         select n.nspname || '.' || c.relname as name
         from tree join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace`,
};

export async function planOf(db: Queryable, statement: Template): Promise<PlanNode> {
  const [row] = await statement.explain(db, { elapsed: 1, due: new Date() }, 'json');
  return (row!['QUERY PLAN'] as { Plan: PlanNode }[])[0]!.Plan;
}

/** How many changes of a table it has. */
export const modifies = (node: PlanNode): number =>
  Number(node['Node Type'] === 'ModifyTable') + (node.Plans ?? []).reduce((sum, plan) => sum + modifies(plan), 0);

/**
 * Whether a statement reads the table that it changes beside the row that it is at (a subquery, a join with itself):
 * then a chunk would see what the chunks before it have changed. A function that reads the table is not seen here.
 */
export async function readsItself(db: Queryable, work: JobWork, table: TableFacts): Promise<boolean> {
  if (work.kind === 'sweep') return false;
  const span = { after: false, upto: false };
  const whole =
    work.kind === 'regen' ? regenStatement(work, table, span) : decayStatement(work, table, { ...span, all: true });
  const relations = new Set((await run<{ name: string }>(db, RELATIONS, [table.oid])).map(({ name }) => name));
  const scans = new Map<string, number>();
  const look = (node: PlanNode): void => {
    const name = `${node.Schema}.${node['Relation Name']}`;
    if (node['Node Type'] !== 'ModifyTable' && relations.has(name)) scans.set(name, (scans.get(name) ?? 0) + 1);
    node.Plans?.forEach(look);
  };
  look(await planOf(db, whole));
  return [...scans.values()].some((times) => times > 1);
}
