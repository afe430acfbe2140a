/**
 * A node (`activities/tracker/shift/node.ts`) on the real PostgreSQL in a process of its own, with as many pools as a
 * scenario wants and without Temporal: what thousands of pools cost the node itself can be read without waiting for
 * thousands of workflows. Used by `idle`, `fair` and `dashboard`.
 */
import { pino } from 'pino';
import { createUpstream } from '../../exports/upstream';
import { takeFence } from '../../activities/tracker/store/fence';
import { AgeTeller } from '../../activities/tracker/shift/age-teller';
import { HistoryWriter } from '../../activities/tracker/shift/history';
import { Isolation } from '../../activities/tracker/shift/isolate';
import { Node } from '../../activities/tracker/shift/node';
import { PoolShift } from '../../activities/tracker/shift/pool-shift';
import { Database, run, type Statement } from '../../activities/lib/database';
import type { FreshnessRow } from '../../activities/tracker/store/members';
import { readTracker } from '../../activities/tracker/store/trackers';
import { NodeMetrics } from '../../activities/tracker/telemetry';
import { defineTracker, resolveConfig, type Run, type TrackerDefinition } from '../../exports';
import { serve } from '../harness/child';

export interface NodeSetup {
  databaseUrl: string;
  /** Runs at once, of all trackers. */
  places: number;
  trackers: TrackerSetup[];
}

export interface TrackerSetup {
  name: string;
  pools: number;
  /** In each pool. */
  members: number;
  operations: number;
  every: string;
  timeout: string;
  /** Without one, a run makes its value up. */
  origin?: string;
  connections?: number;
}

const TRACKER: Statement = {
  name: 'bench-tracker',
  text: 'insert into longwatch.tracker (name, options, pools) values ($1, $2, $3)',
};
const POOLS: Statement = {
  name: 'bench-pools',
  text: 'insert into longwatch.pool (tracker, pool) select $1, generate_series(0, $2::int - 1)',
};
const MEMBERS: Statement = {
  name: 'bench-members',
  text: `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
         select $1, 'm' || i, 0, 1, 0 from generate_series(1, $2::int) i returning key::int, id`,
};

const log = pino({ level: 'warn' }, pino.destination(2));
let node: Node;

async function start(setup: NodeSetup): Promise<void> {
  const definitions = setup.trackers.map(define);
  const database = new Database({ url: setup.databaseUrl, log });
  node = new Node({
    row: { name: 'bench', host: 'localhost', pid: process.pid, metricsUrl: null },
    database,
    trackers: definitions,
    log,
    metrics: new NodeMetrics(),
    isolation: new Isolation({ filename: '', workerData: {}, threads: 2 }),
    watchdog: undefined,
    nodeConcurrency: setup.places,
  });
  await node.start();
  for (const [i, tracker] of setup.trackers.entries()) await keepAll(database, tracker, definitions[i]!);
}

function define({ name, operations, every, timeout, origin, connections }: TrackerSetup): TrackerDefinition {
  const upstream = origin === undefined ? undefined : createUpstream({ origin, connections });
  const look: Run = async ({ id }) => ({ value: upstream ? (await upstream.get(`/characters/${id}`)).body : id });
  const names = Array.from({ length: operations }, (_, i) => `look${i + 1}`);
  return defineTracker({
    name,
    operations: Object.fromEntries(names.map((operation) => [operation, { every, timeout, run: look }])),
  });
}

/** Every pool of a tracker, its members just fetched. */
async function keepAll(database: Database, setup: TrackerSetup, definition: TrackerDefinition): Promise<void> {
  const { options } = resolveConfig({ trackers: [definition] }).trackers[0]!;
  const tracker = await database.transaction(async (db) => {
    await run(db, TRACKER, [setup.name, JSON.stringify(options), setup.pools]);
    await run(db, POOLS, [setup.name, setup.pools]);
    return readTracker(db, setup.name);
  });
  const keys = await database.rows<{ key: number; id: string }>(MEMBERS, [setup.name, setup.pools * setup.members]);
  node.trackers.set(setup.name, tracker!);
  for (let pool = 0; pool < setup.pools; pool++) {
    const claim = { tracker: setup.name, pool, runId: 'bench', shift: 1, attempt: 1, node: 'bench' };
    const fence = await takeFence(database, claim, () => Promise.resolve(true));
    const latenessOf = (name: string, operation: string) => node.latenessOf(name, operation);
    const shift = new PoolShift({ claim, fence, definition, host: node, log, latenessOf }, tracker!);
    const now = node.clock.now();
    const rows = keys.slice(pool * setup.members, (pool + 1) * setup.members);
    const members = rows.map(({ key, id }) => ({ key, id, removed: false, place: 0, addedAt: now }));
    shift.loadAll(
      members,
      rows.flatMap(({ key }) => Object.keys(definition.operations).map((name) => fresh(key, name, now))),
    );
    node.join(shift, definition);
  }
}

const fresh = (member: number, operation: string, now: number) =>
  ({ member, operation, fetchedAt: now, expiresAt: null, heldUntil: null, failedAt: null, etag: null }) as FreshnessRow;

/** The node's work for the history and for who looks: the ages of values, and the rows of each minute. */
// eslint-disable-next-line @typescript-eslint/unbound-method -- they are put back as they were
const told = { ages: AgeTeller.prototype.look, minutes: HistoryWriter.prototype.look };

/** Has it do that, or not. */
function telling(on: boolean): void {
  AgeTeller.prototype.look = on ? told.ages : () => Promise.resolve();
  HistoryWriter.prototype.look = on ? told.minutes : () => Promise.resolve();
}

serve({
  start,
  telling,
  /** Processor time of this process so far, user and system, milliseconds. */
  cpu: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
  /** Runs by how late they began, over the last one to two minutes. */
  late: (tracker: string) => node.latenessOf(tracker, 'look1').recent(node.clock.now()),
  /** Holds of an operation that is none of these: what one more cost with thousands of loops. */
  hold: (tracker: string) => node.holds.hold(tracker, 'look1', node.clock.now() + 3_600_000),
});
