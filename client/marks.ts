/**
 * Marks for charts: what operators did, and when nodes' processes began. Read by `Longwatch.marks`; drawn over the
 * history (`series.ts`).
 */
import type { Statement } from '../activities/lib/database';
import { ms } from '../activities/lib/sql';
import type { Connections } from './connections';
import { rangeAt } from './series';

export interface Mark {
  /** Epoch milliseconds. */
  at: number;
  /** A command of an operator, or the start of a node's process; a restart, where the one before it had crashed. */
  kind: 'act' | 'start' | 'restart';
  /** `pause`; `node worker-1`. */
  text: string;
  /** `tracker/characters`, `node/worker-1`. */
  subject: string;
  /** The operator; null: nobody did it. */
  actor: string | null;
}

/** In one chart; the newest ones. */
const MOST_MARKS = 200;

/** Commands that are looked through, the newest ones: nothing is ever taken out of their list. */
const LOOKED = 10_000;

export const ACTS: Statement = {
  name: 'client-marks-acts',
  text: `select ${ms('at')} as at, what, subject, actor from (
           select number, at, what, subject, actor, outcome from longwatch.audit order by number desc limit ${LOOKED}
         ) looked
         where at >= to_timestamp($1::float8 / 1000) and at < to_timestamp($2::float8 / 1000)
           and outcome is distinct from 'refused' and outcome is distinct from 'unchanged'
         order by number desc limit $3`,
};
const STARTS: Statement = {
  name: 'client-marks-starts',
  text: `select ${ms('at')} as at, node, after_crash from longwatch.node_start
         where at >= to_timestamp($1::float8 / 1000) and at < to_timestamp($2::float8 / 1000)
         order by at desc limit $3`,
};
const NOW: Statement = { name: 'client-marks-now', text: `select ${ms('now()')} as now` };

interface ActRow {
  [column: string]: unknown;
  at: number;
  what: string;
  subject: string;
  actor: string;
}

interface StartRow {
  [column: string]: unknown;
  at: number;
  node: string;
  after_crash: boolean;
}

/** The oldest first. @throws InvalidRangeError */
export async function readMarks(
  connections: Connections,
  options: { from?: Date | string | number; to?: Date | string | number } = {},
): Promise<Mark[]> {
  const [row] = await connections.read<{ now: number }>(NOW);
  const { from, to } = rangeAt(row!.now, { ...options, step: undefined });
  const values = [from, to, MOST_MARKS];
  const [acts, starts] = await Promise.all([
    connections.read<ActRow>(ACTS, values),
    connections.read<StartRow>(STARTS, values),
  ]);
  const marks: Mark[] = [
    ...acts.map(({ at, what, subject, actor }): Mark => ({ at, kind: 'act', text: what, subject, actor })),
    ...starts.map(({ at, node, after_crash: crashed }): Mark => {
      return { at, kind: crashed ? 'restart' : 'start', text: `node ${node}`, subject: `node/${node}`, actor: null };
    }),
  ];
  return marks.sort((a, b) => a.at - b.at).slice(-MOST_MARKS);
}
