/**
 * How much one worker gets done: fetches a second with every result upserted, beside a bare loop that does nothing but
 * fetch from the same upstream. More ids are due than can be fetched, so that both run at their limit.
 */
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { Bench } from '../harness/bench';
import { defineScenario, type Reading } from '../harness/scenario';
import { median } from '../harness/figures';
import { startRedis } from '../peers/bullmq/redis';
import { PEER_TABLE } from '../peers/store';
import { PeerWorker } from '../peers/temporal/peer';
import type { BareLoop, BareWay } from '../tracker/bare';
import { Upstream } from '../tracker/upstream';
import { Watch } from '../tracker/watch';

const IDS = 50_000;
/** Ours and the bare loop take turns, so that both have the machine's good and bad moments. */
const TURNS = 3;
const SECONDS = 5;
/** After `resume`, until the worker is at its pace. */
const WARM_UP_MS = 3_000;
/** After `pause`, until all is written and the worker has noted it. */
const SETTLE_MS = 2_500;
/** The number of connections of both, and of requests under way: 50 ms of latency do not bound the rate then. */
const CONNECTIONS: Record<number, number> = { 0: 500, 50: 1_250 };
/** The pools of 50,000 ids with the default `poolSize`; each has its own concurrency. */
const TRACKER_POOLS = 50;

export const scenario = defineScenario({
  title: 'fetches a second of one worker, every result upserted, beside a bare undici loop; 0 and 50 ms of latency',
  async run(bench) {
    const readings: Reading[] = [];
    for (const latencyMs of [0, 50]) readings.push(...(await track(bench, latencyMs)));
    if (bench.peers) readings.push(...(await peers(bench, readings[0]!)));
    return readings;
  },
});

async function track(bench: Bench, latencyMs: number): Promise<Reading[]> {
  const upstream = await Upstream.start(bench, latencyMs);
  const connections = CONNECTIONS[latencyMs]!;
  const bare = await bench.child(path.join(__dirname, '../tracker/bare-process.ts'));
  const loop = { origin: upstream.origin, connections, atOnce: connections, ids: IDS };
  const watch = await Watch.start(bench, {
    tracker: {},
    operation: { every: '1s', concurrency: connections / TRACKER_POOLS },
    origin: upstream.origin,
    connections,
  });
  await watch.fill(IDS);
  const turns: Record<BareWay | 'ours', number>[] = [];
  await watch.tracker.pause();
  await bench.sleep(SETTLE_MS);
  while (turns.length < TURNS) {
    bench.say(`${latencyMs} ms of latency, turn ${turns.length + 1} of ${TURNS}`);
    const rate = (way: BareWay) => bare.call<number>('rate', { ...loop, way } satisfies BareLoop, SECONDS);
    const request = await rate('request');
    const dispatch = await rate('dispatch');
    turns.push({ ours: await writtenRate(bench, watch, upstream), request, dispatch });
  }
  await watch.stop();
  const ours = median(turns.map((turn) => turn.ours));
  const beside = (way: BareWay, referenceName: string, target?: string): Reading => ({
    measure: `fetches upserted, upstream of ${latencyMs} ms`,
    ours,
    unit: '/s',
    // The ratio of each turn, so that a moment in which the machine is slow counts for both.
    reference: ours / median(turns.map((turn) => turn.ours / turn[way])),
    referenceName,
    target,
  });
  return [
    // Without latency everything is processor time, and PostgreSQL has its part of the same cores.
    beside('request', 'bare undici loop', latencyMs === 0 ? 'ratio >= 0.90' : 'ratio >= 0.95'),
    beside('dispatch', "bare loop on undici's raw handlers"),
  ];
}

/**
 * Lets the paused tracker run for a while.
 * @throws when results were fetched and not written: the rate would be one of something else.
 */
async function writtenRate(bench: Bench, watch: Watch, upstream: Upstream): Promise<number> {
  // The worker notes once a second what it has done: the note that there is may be of before.
  const look = async () => {
    const { at } = await watch.nextWritten(0);
    return { served: await upstream.served(), ...(await watch.nextWritten(at)) };
  };
  const before = await look();
  await watch.tracker.resume();
  await bench.sleep(WARM_UP_MS);
  const rate = await watch.rate(SECONDS);
  await watch.tracker.pause();
  await bench.sleep(SETTLE_MS);
  const after = await look();
  const [written, served] = [after.rows - before.rows, after.served - before.served];
  if (written < 0.99 * served) throw new Error(`of ${served} fetches only ${written} were upserted`);
  return rate;
}

// ── The peers: the same polling, every result upserted, as fast as each of them goes ──

/** Each more than it can keep up with. */
const SCHEDULERS = 10_000;
const WORKFLOWS = 500;
const POOLS = 200;
const POOL_SIZE = 100;

async function peers(bench: Bench, { measure, ours, unit }: Reading): Promise<Reading[]> {
  const stack = await bench.stack();
  await stack.sql(PEER_TABLE);
  const upstream = await Upstream.start(bench, 0);
  const readings: Reading[] = [];
  const read = async (referenceName: string): Promise<void> => {
    bench.say(`measuring ${referenceName}`);
    await bench.sleep(5_000);
    const [before, began] = [await upstream.served(), performance.now()];
    await bench.sleep(2 * SECONDS * 1_000);
    const reference = ((await upstream.served()) - before) / ((performance.now() - began) / 1_000);
    readings.push({ measure, ours, unit, reference, referenceName });
  };

  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  bench.defer(() => connection.close());
  const client = new Client({ connection });
  const worker = await PeerWorker.start(bench, stack, upstream.origin);
  await worker.watchOnes(client, WORKFLOWS);
  await read('a workflow an id');
  await worker.end(client, 'watchOne');
  await worker.watchPools(client, POOLS, POOL_SIZE);
  await read(`an activity a tick, pools of ${POOL_SIZE}`);
  await worker.end(client, 'watchMany');

  const redis = await startRedis(bench);
  if ('missing' in redis) {
    bench.say(`BullMQ is skipped: ${redis.missing}`);
    return readings;
  }
  const bullmq = await bench.child(path.join(__dirname, '../peers/bullmq/bullmq-process.ts'));
  bench.say(`making ${SCHEDULERS} job schedulers`);
  await bullmq.call('start', redis.port, stack.servers.databaseUrl, upstream.origin, SCHEDULERS, 1_000);
  await read('BullMQ job schedulers');
  return readings;
}
