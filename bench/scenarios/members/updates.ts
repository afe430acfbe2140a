/**
 * The peer: a workflow a member on the same Temporal server, whose messages are updates. One at a time, and as many at
 * once as in `many`, over a thousand members: more would be replayed from their histories all the time.
 */
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { Bench } from '../../harness/bench';
import { percentile } from '../../harness/figures';
import type { Reading } from '../../harness/scenario';
import { sayUpdate, type room } from '../../member/entity-workflows';
import { timed } from './parts';

const MEMBERS = 1_000;
const AT_ONCE = 64;
const NAME = 'a workflow a member, with updates';

/** Our readings with the peer's beside them. */
export async function updates(bench: Bench, ours: Reading[]): Promise<Reading[]> {
  const stack = await bench.stack();
  const worker = await bench.child(path.join(__dirname, '../../member/entities-process.ts'));
  await worker.call('start', stack.servers.temporalAddress);
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  const client = new Client({ connection });
  await lanes(16, MEMBERS, (at) => open(client, at));
  // Each has had a turn before anything is measured.
  await lanes(16, MEMBERS, (at) => say(client, at));
  const one = await asked(client, 1, timed(10));
  const many = await asked(client, AT_ONCE, timed(20));
  await connection.close();
  await stack.close();
  const figures: Record<string, number> = {
    'a request, one at a time, alone, p50': percentile(one.took, 0.5),
    'a request, one at a time, alone, p95': percentile(one.took, 0.95),
  };
  return ours.map((reading) => {
    const perSecond = reading.unit === '/s' && reading.measure.startsWith(`requests, ${AT_ONCE} at once`);
    const reference = perSecond ? many.took.length / many.seconds : figures[reading.measure];
    return reference === undefined ? reading : { ...reading, reference, referenceName: NAME };
  });
}

function open(client: Client, at: number): Promise<unknown> {
  return client.workflow.start<typeof room>('room', { workflowId: `room-${at}`, taskQueue: 'entities', args: [] });
}

function say(client: Client, at: number): Promise<number> {
  return client.workflow.getHandle(`room-${at}`).executeUpdate(sayUpdate, { args: ['word'] });
}

async function asked(client: Client, atOnce: number, seconds: number): Promise<{ took: number[]; seconds: number }> {
  const took: number[] = [];
  const began = performance.now();
  const lane = async (): Promise<void> => {
    while (performance.now() - began < seconds * 1_000) {
      const at = performance.now();
      await say(client, Math.floor(Math.random() * MEMBERS));
      took.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return { took, seconds: (performance.now() - began) / 1_000 };
}

async function lanes(count: number, total: number, each: (at: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < total) await each(next++);
  };
  await Promise.all(Array.from({ length: count }, lane));
}
