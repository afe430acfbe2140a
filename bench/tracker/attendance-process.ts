/** Nodes that are only there, many in one process (`scenarios/cluster/attendance.ts` starts it and tells how many). */
import { pino } from 'pino';
import { Database, OWN_LIMITS } from '../../activities/lib/database';
import { Isolation } from '../../activities/tracker/shift/isolate';
import { Node } from '../../activities/tracker/shift/node';
import { claimNode } from '../../activities/tracker/store/nodes';
import { NodeMetrics } from '../../activities/tracker/telemetry';
import { defineTracker } from '../../exports';
import { serve } from '../harness/child';

const log = pino({ level: 'warn' }, pino.destination(2));
/** All nodes share them: each needs one for some milliseconds a second. */
const CONNECTIONS = 16;
const database = new Database({ url: process.env.DATABASE_URL!, log, ...OWN_LIMITS, connections: CONNECTIONS });
const look = defineTracker({ name: 'bench', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } });
let nodes = 0;

async function add(): Promise<void> {
  const row = { name: `node-${++nodes}`, host: 'h', pid: process.pid, metricsUrl: null, labels: [] };
  const incarnation = await database.transaction((db) => claimNode(db, row));
  const node = new Node({
    row,
    database,
    presence: { incarnation: () => incarnation },
    trackers: [look],
    log,
    metrics: new NodeMetrics(),
    isolation: new Isolation({ filename: '', workerData: {}, threads: 1 }),
    watchdog: undefined,
    nodeConcurrency: 100,
  });
  await node.start();
}

serve({
  grow: async (count: number) => {
    while (nodes < count) await add();
  },
  cpuMs: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
});
