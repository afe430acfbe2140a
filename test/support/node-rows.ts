/**
 * Rows of nodes as a node writes them each second, for tests of what people see and do: no process is behind them.
 * `keeps` writes fences as well.
 */
import { kindOf, loadOf } from '../../activities/tracker/placement/types';
import type { WrittenRow } from '../../activities/tracker/placement/row';
import type { NodeFigures } from '../../activities/tracker/store/node-use';

type Sql = (text: string, values?: unknown[]) => Promise<unknown>;

export interface NodeGiven {
  name: string;
  version?: string;
  labels?: string[];
  placement?: Partial<WrittenRow>;
  use?: Partial<NodeFigures>;
  /** How long ago it was seen, and since when it works, milliseconds. Not given: it lives for the whole test. */
  silentMs?: number;
  upMs?: number;
  ended?: boolean;
}

export const FIGURES: NodeFigures = {
  ...{ eventLoop: 0.2, lagMs: 3, cpu: 0.25, rssBytes: 180 * 2 ** 20, heapBytes: 90 * 2 ** 20, members: 0, stuck: 0 },
  ...{ heapLimitBytes: 2 ** 30, share: null, health: 1, trust: 1, storeRefusedMs: null, temporalRefusedMs: null },
  lacks: [],
  failing: { pools: 0, example: null },
  minute: { lateMs: 4, fetched: 60, failed: 0, restarts: 0, declined: 0, redirected: 0, moved: 0, fenced: 0 },
};

/** No process writes a row again, and it may not grow old while a test of a busy machine looks at it. */
const LIVES_MS = 3_600_000;

/** Written as the node's attendance does; wishes of operators stay. */
export async function writeNode(sql: Sql, given: NodeGiven): Promise<void> {
  const { name, version = '0.1.0', labels = [], silentMs = -LIVES_MS, upMs = 60_000, ended = false } = given;
  const row: WrittenRow = {
    ...{ name, load: 0, shifts: 0, loads: {}, largest: null, weight: 1, places: null, loadLimit: null, keeps: [] },
    ...{ up: true, hot: false, cutOff: false, out: [], ask: null, wants: {}, done: {} },
    ...given.placement,
  };
  await sql(
    `insert into longwatch.node (name, host, pid, version, labels, placement, use, seen_at, started_at, ended_at)
     values ($1, 'here', 42, $2, $3, $4, $5, clock_timestamp() - $6 * interval '1 ms',
             clock_timestamp() - $7 * interval '1 ms', case when $8 then clock_timestamp() end)
     on conflict (name) do update
     set version = excluded.version, labels = excluded.labels, placement = excluded.placement, use = excluded.use,
         seen_at = excluded.seen_at, started_at = excluded.started_at, ended_at = excluded.ended_at`,
    [name, version, labels, JSON.stringify(row), JSON.stringify({ ...FIGURES, ...given.use }), silentMs, upMs, ended],
  );
}

/** A tracker of so many pools, each of so many members, asked each second. */
export async function writeTracker(sql: Sql, name: string, pools: number, members = 90): Promise<void> {
  const options = { heartbeatTimeoutMs: 5_000, operations: { look: { everyMs: 1_000, enabled: true } }, gate: null };
  await sql(`insert into longwatch.tracker (name, pools, options) values ($1, $2, $3)`, [
    name,
    pools,
    JSON.stringify(options),
  ]);
  await sql(
    `insert into longwatch.pool (tracker, pool, members) select $1, n, $3 from generate_series(0, $2::int - 1) n`,
    [name, pools, members],
  );
}

/** The fence of these pools is the node's; its row says the same. */
export async function keep(sql: Sql, node: NodeGiven, tracker: string, pools: number[], members = 90): Promise<void> {
  await sql(
    `update longwatch.pool set node = $1, token = token + 1, taken_at = clock_timestamp(), released_at = null
     where tracker = $2 and pool = any($3::int[])`,
    [node.name, tracker, pools],
  );
  const size = loadOf(members, [1_000]);
  const kind = kindOf(tracker);
  await writeNode(sql, {
    ...node,
    placement: {
      load: pools.length * size,
      shifts: pools.length,
      loads: { [kind]: pools.length * size },
      largest: pools.length > 0 ? { size, kind } : null,
      keeps: [kind],
      ...node.placement,
    },
  });
}
