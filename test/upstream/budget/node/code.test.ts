/**
 * Batches, pages, durable activities and gates of two nodes that spend from one bucket of the real ledger: nobody is
 * refused, what they spent is told once, and code whose bucket is closed does not begin.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { defineUpstream } from '../../../../activities/upstream/define';
import { budgetedConfig } from '../../../../activities/upstream/spend/before';
import { permitFor } from '../../../../activities/upstream/spending';
import { defineBuffer, defineSweep, resolveConfig } from '../../../../exports';
import { answer, CountingUpstream, oneLimit, upstreamOf, type TestNode } from './kit';
import { nodes, stack, start } from './nodes';

beforeEach(async () => {
  for (const name of ['a', 'b']) await start(name, limits);
});

const TOKENS = 60;
const WINDOW = 4;
const limits = upstreamOf(oneLimit({ tokens: TOKENS, window: WINDOW }));
const definition = defineUpstream({
  name: 'up',
  origin: 'http://127.0.0.1:1',
  limits: { all: { key: 'address', tokens: TOKENS, window: `${WINDOW}s` } },
});

/** The code of each kind on one node. `ask` is its request. */
function codesOf(node: TestNode, ask: () => Promise<void>) {
  const activity = { name: 'act', upstream: definition, run: ask };
  const config = resolveConfig({
    trackers: [
      {
        name: 't',
        gate: { upstream: definition, check: async () => (await ask(), true) },
        operations: { look: { every: '1s', run: () => ({ value: 1 }) } },
      },
    ],
    buffers: [defineBuffer({ name: 'b', upstream: definition, run: ask })],
    sweeps: [defineSweep({ name: 's', every: '1s', table: 'x', due: 'true', upstream: definition, handle: ask })],
    activities: [activity],
  });
  const of = budgetedConfig(config, node.budget.spender);
  const context = { signal: new AbortController().signal } as never;
  return {
    gate: async () => void (await of.trackers[0]!.definition.gate!.check(context)),
    batch: async () => void (await of.buffers[0]!.definition.run([] as never, context)),
    page: async () => void (await of.jobs[0]!.handle!([], context)),
    activity: async () => void (await of.activities[0]!.definition.run(undefined, context)),
  };
}
const KINDS = ['gate', 'batch', 'page', 'activity'] as const;

/** The request of such code: drawn from what was taken before it began. */
const asking = (upstream: CountingUpstream) => async (): Promise<void> => {
  const permit = (await permitFor('up', { method: 'GET', path: '/', id: undefined }))!;
  const left = upstream.ask();
  await delay(5);
  permit.report(left === undefined ? answer(429, {}, 1_000) : answer());
};

/** Tokens that the ledger has as spent, once all that was in hand is back. */
async function counted(): Promise<number> {
  await Promise.all(nodes.map(({ budget }) => budget.stop()));
  const [row] = await stack.sql<{ own: number[] }>('select own from longwatch.budget');
  return row!.own.reduce((sum, tokens) => sum + tokens, 0);
}

test.each(KINDS)('a %s of two nodes is refused nothing, and what it spent is counted once', async (kind) => {
  const upstream = new CountingUpstream(TOKENS, WINDOW * 1_000);
  const until = performance.now() + 1.2 * WINDOW * 1_000;
  const loops = nodes.flatMap((node) => {
    const code = codesOf(node, asking(upstream))[kind];
    return [1, 2].map(async () => {
      // One that waits in vain is put off: its caller comes again.
      while (performance.now() < until)
        await code().catch((error: Error) => expect(error).toMatchObject({ name: 'HoldError', when: 'before' }));
    });
  });
  await Promise.all(loops);
  expect(upstream.refused).toBe(0);
  expect(upstream.served).toBeGreaterThan(TOKENS / 2);
  // Within two windows nothing is dropped of what was spent.
  expect(await counted()).toBeCloseTo(upstream.served, 6);
});

test.each(KINDS)('a %s whose bucket another node was refused for does not begin', async (kind) => {
  const [a, b] = nodes as [TestNode, TestNode];
  (await b.taken()).report(answer());
  (await a.taken()).report(answer(429, {}, 60_000));
  while (!b.budget.spender.find({ upstream: 'up', limit: 'all', key: 'one' })?.isClosed)
    await new Promise(setImmediate);
  let begun = 0;
  const code = codesOf(b, () => Promise.resolve(void begun++))[kind];
  const error = await code().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: 'HoldError', when: 'before', message: 'up/all:one is closed' });
  expect((error as { afterMs: number }).afterMs).toBeGreaterThan(50_000);
  expect(begun).toBe(0);
});
