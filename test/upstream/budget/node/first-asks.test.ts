/** Keys that are made of an answer's header, on the real PostgreSQL: one node asks, the others wait for its answer. */
import type { Spend, Use } from '../../../../activities/upstream/budget/spender';
import { Stack } from '../../../support/stack';
import { answer, oneLimit, TestNode, upstreamOf } from './kit';

let stack: Stack;
let nodes: TestNode[] = [];
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(async () => {
  await stack?.close();
});
beforeEach(async () => {
  await stack.sql('truncate longwatch.budget, longwatch.budget_header');
});
afterEach(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  nodes = [];
});

const limits = upstreamOf(oneLimit({ tokens: 1_000, window: 60 }, { key: ({ header }) => header('x-group') }));
const grouped = answer(200, { 'x-group': 'g' });

async function start(...names: string[]): Promise<TestNode[]> {
  const started = await Promise.all(names.map((name) => new TestNode(name, stack.servers.databaseUrl, limits).start()));
  nodes.push(...started);
  return started;
}

interface Asking {
  by: TestNode;
  spend: Promise<Spend>;
}

/** Each of them wants to ask. */
const asking = (of: readonly TestNode[], use: Partial<Use> = {}): Asking[] =>
  of.map((by) => ({ by, spend: by.taken(use) }));

/** The one that may, and those that wait. */
async function firstOf(all: readonly Asking[]): Promise<{ first: Asking; others: Asking[] }> {
  const first = await Promise.race(all.map(async (one) => (await one.spend, one)));
  return { first, others: all.filter((one) => one !== first) };
}

test('three nodes want to ask: one does, and none of the others before its answer', async () => {
  const three = await start('a', 'b', 'c');
  const sent: string[] = [];
  const all = three.map(async (node) => {
    const spend = await node.taken();
    sent.push(node.name);
    return { node, spend };
  });
  const { node, spend } = await Promise.race(all);
  // The others look each second: after three of them nobody else has been let go.
  for (let i = 0; i < 3; i++) {
    await stack.sql('select pg_sleep(1)');
    await Promise.all(three.map(({ budget }) => budget.renewals.renewAll()));
  }
  expect(sent).toEqual([node.name]);
  spend.report(grouped);
  for (const one of await Promise.all(all)) one.spend.report(grouped);
  const [{ key }] = (await stack.sql<{ key: string }>('select key from longwatch.budget')) as [{ key: string }];
  expect(key).toBe('g');
});

test('the one that asks is gone: another may, once the claim is old; one that ends leaves it at once', async () => {
  const two = await start('a', 'b');
  const { first, others } = await firstOf(asking(two));
  await stack.sql(`update longwatch.budget_header set told_at = told_at - interval '11 seconds' where header = ''`);
  (await others[0]!.spend).release();
  (await first.spend).release();
  // Another kind of code: its question is its own.
  const next = await firstOf(asking(two, { by: 't/other' }));
  (await next.first.spend).release();
  nodes = nodes.filter((node) => node !== next.first.by);
  await next.first.by.stop();
  const left = performance.now();
  (await next.others[0]!.spend).release();
  expect(performance.now() - left).toBeLessThan(8_000);
});

test('a question that PostgreSQL cannot keep is asked all the same', async () => {
  const [a] = (await start('a')) as [TestNode];
  (await a.taken({ by: 't/nul \0' })).report(grouped);
  (await a.taken({ by: `t/${'long'.repeat(1_000)}` })).report(grouped);
});
