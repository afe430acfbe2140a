/**
 * The peers of `alone` and `many`, in the same run: a workflow a member on the same Temporal server, whose messages are
 * updates, and Restate's virtual objects. The workflows are a thousand only: more would be replayed from their
 * histories all the time.
 */
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { Bench } from '../../harness/bench';
import { percentile } from '../../harness/figures';
import type { Reading } from '../../harness/scenario';
import { sayUpdate, type room } from '../../member/entity-workflows';
import { startRestate } from '../../peers/restate/server';
import { sized, timed } from './parts';

const MEMBERS = 1_000;
const AT_ONCE = 64;

interface Asked {
  /** Milliseconds, of each. */
  took: number[];
  seconds: number;
}

interface Peer {
  name: string;
  one: Asked;
  many: Asked;
}

/** Our readings, each with the peers that have it beside it. */
export async function besidePeers(bench: Bench, ours: Reading[]): Promise<Reading[]> {
  const peers = [await updates(bench)];
  const restate = await objects(bench);
  if (restate) peers.push(restate);
  return ours.flatMap((reading) => {
    const beside = peers.flatMap((peer) => {
      const reference = figureOf(peer, reading);
      return reference === undefined ? [] : [{ ...reading, reference, referenceName: peer.name }];
    });
    return beside.length > 0 ? beside : [reading];
  });
}

function figureOf({ one, many }: Peer, { measure, unit }: Reading): number | undefined {
  const asked = measure.startsWith('a request, one at a time, alone') ? one : many;
  if (asked === many && !measure.startsWith(`requests, ${AT_ONCE} at once`)) return undefined;
  if (measure.endsWith(', p50')) return percentile(asked.took, 0.5);
  if (measure.endsWith(', p95')) return percentile(asked.took, 0.95);
  return unit === '/s' ? asked.took.length / asked.seconds : undefined;
}

async function updates(bench: Bench): Promise<Peer> {
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
  return { name: 'a workflow a member, with updates', one, many };
}

async function objects(bench: Bench): Promise<Peer | undefined> {
  const restate = await startRestate(bench);
  if ('missing' in restate) {
    bench.say(`Restate is skipped: ${restate.missing}`);
    return undefined;
  }
  const sender = await bench.child(path.join(__dirname, '../../peers/restate/sender-process.ts'));
  const ask = async (members: number, atOnce: number, seconds: number): Promise<Asked> => ({
    took: await sender.call<number[]>('run', restate.origin, { members, atOnce, seconds }),
    seconds,
  });
  await ask(100, 8, 3);
  const one = await ask(100, 1, timed(10));
  await ask(sized(100_000), 8, 3);
  return { name: 'Restate’s virtual objects', one, many: await ask(sized(100_000), AT_ONCE, timed(30)) };
}

function open(client: Client, at: number): Promise<unknown> {
  return client.workflow.start<typeof room>('room', { workflowId: `room-${at}`, taskQueue: 'entities', args: [] });
}

function say(client: Client, at: number): Promise<number> {
  return client.workflow.getHandle(`room-${at}`).executeUpdate(sayUpdate, { args: ['word'] });
}

async function asked(client: Client, atOnce: number, seconds: number): Promise<Asked> {
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
