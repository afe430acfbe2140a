/**
 * Three nodes in processes of their own against ESI's two limiters, which count to the token and begin their windows
 * when they like: nobody is refused, whatever the nodes do together, and nobody who may go on waits for the others.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Esi } from '../../../../examples/upstreams/esi';
import { serve, type Served } from '../../../../examples/upstreams/server';
import { Stack } from '../../../support/stack';

let stack: Stack;
let served: Served;
let upstream: Esi;
let nodes: ChildProcess[] = [];

beforeAll(async () => {
  stack = await Stack.start();
  // Buckets of 120 and 15 tokens: full soon, and counted for a quarter of an hour.
  upstream = new Esi({ share: 0.1 });
  served = await serve(upstream);
});
afterAll(async () => {
  for (const node of nodes) node.kill('SIGKILL');
  await served?.close();
  await stack?.close();
});

function start(name: string): ChildProcess {
  const node = fork(path.join(__dirname, 'esi-node.ts'), [served.origin, stack.servers.databaseUrl, name], {
    execArgv: ['--require', 'tsx/cjs'],
  });
  nodes.push(node);
  return node;
}

async function ready(node: ChildProcess): Promise<void> {
  const [message] = (await once(node, 'message')) as [unknown];
  expect(message).toBe('ready');
}

interface Answers {
  good: number;
  errors: number;
  refused: number;
  held: number;
}

async function ended(node: ChildProcess): Promise<Answers> {
  node.send('end');
  const [answers] = (await once(node, 'message')) as [Answers];
  return answers;
}

test('nobody is refused by ESI: not over its groups, not over its errors, not after a node was killed or started anew', async () => {
  const [a, b, c] = ['a', 'b', 'c'].map(start);
  await Promise.all([a!, b!, c!].map(ready));
  await delay(12_000);
  c!.kill('SIGKILL');
  const again = start('c');
  await ready(again);
  await delay(25_000);
  const answers = await Promise.all([a!, b!, again].map(ended));
  nodes = [];
  const refused = [...upstream.counts].filter(([, counts]) => counts.refused > 0);
  expect(refused).toEqual([]);
  for (const one of answers) expect(one.refused).toBe(0);
  const good = answers.reduce((sum, one) => sum + one.good, 0);
  const errors = answers.reduce((sum, one) => sum + one.errors, 0);
  // Nobody stood still. There were two windows of 99 errors at most, and every request has to have one in hand.
  expect(good).toBeGreaterThan(20);
  expect(errors).toBeGreaterThan(20);
  expect(errors).toBeLessThanOrEqual(198);
  // Every character was asked for.
  const characters = [...upstream.counts].filter(([name]) => name.startsWith('char-'));
  expect(characters).toHaveLength(12);
});
