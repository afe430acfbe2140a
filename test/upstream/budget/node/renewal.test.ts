/** The ledger on the real PostgreSQL: parts of several nodes, crossed keys, outages, closings. */
import { setTimeout as delay } from 'node:timers/promises';
import { Stack } from '../../../support/stack';
import { answer, CountingUpstream, oneLimit, TestNode, upstreamOf } from './kit';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(async () => {
  await stack?.close();
});

let nodes: TestNode[] = [];
beforeEach(async () => {
  await stack.sql('delete from longwatch.budget');
});
afterEach(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  nodes = [];
});

async function start(name: string, ...[upstream, more, url]: [ReturnType<typeof upstreamOf>, object?, string?]) {
  const node = await new TestNode(name, url ?? stack.servers.databaseUrl, upstream, more).start();
  nodes.push(node);
  return node;
}

/** Sends as fast as it may, until told to stop. */
async function hammer(node: TestNode, upstream: CountingUpstream, until: AbortSignal): Promise<void> {
  while (!until.aborted) {
    const spend = await Promise.race([
      node.taken(),
      new Promise<undefined>((end) => until.addEventListener('abort', () => end(undefined))),
    ]);
    if (!spend) return;
    const left = upstream.ask();
    await delay(5);
    spend.report(left === undefined ? answer(429, {}, 1_000) : answer());
  }
}

test('three nodes spend one bucket, most of it, and never more', async () => {
  const limits = upstreamOf(oneLimit({ tokens: 60, window: 4 }));
  const upstream = new CountingUpstream(60, 4_000);
  for (const name of ['a', 'b', 'c']) await start(name, limits);
  const stop = new AbortController();
  const work = nodes.flatMap((node) => [1, 2, 3].map(() => hammer(node, upstream, stop.signal)));
  await delay(12_000);
  stop.abort();
  await Promise.all(work);
  expect(upstream.refused).toBe(0);
  expect(upstream.served).toBeGreaterThan(80);
});
