/** Keys that are made of an answer's header, on the real PostgreSQL: one node asks, the others wait for its answer. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Spend, Use } from '../../../../activities/upstream/budget/spender';
import { answer, oneLimit, upstreamOf, type TestNode } from './kit';
import { stack, start as startNode, stop } from './nodes';

const limits = upstreamOf(oneLimit({ tokens: 1_000, window: 60 }, { key: ({ header }) => header('x-group') }));
const grouped = answer(200, { 'x-group': 'g' });

const start = (...names: string[]): Promise<TestNode[]> => Promise.all(names.map((name) => startNode(name, limits)));

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
  await stop(next.first.by);
  const left = performance.now();
  (await next.others[0]!.spend).release();
  expect(performance.now() - left).toBeLessThan(8_000);
});

test('a question that PostgreSQL cannot keep is asked all the same', async () => {
  const a = await startNode('a', limits);
  (await a.taken({ by: 't/nul \0' })).report(grouped);
  (await a.taken({ by: `t/${'long'.repeat(1_000)}` })).report(grouped);
});

/** Until the claim of the one that asks has been made again. */
async function claimedAgain(): Promise<void> {
  const claimedAt = async (): Promise<string | undefined> =>
    (await stack.sql<{ at: string }>(`select told_at::text as at from longwatch.budget_header where header = ''`))[0]
      ?.at;
  const before = await claimedAt();
  while ((await claimedAt()) === before) await turn();
}

test('the question stays with the node that asks while it waits for its answer, and while that was a refusal', async () => {
  const two = await start('a', 'b');
  const { first, others } = await firstOf(asking(two));
  const [other] = others as [Asking];
  let isLet = false;
  void other.spend.then(() => (isLet = true));
  const spend = await first.spend;
  await claimedAgain();
  spend.report(answer(429, {}, 60_000));
  await claimedAgain();
  expect(isLet).toBe(false);
  // Until somebody opens the limit, here.
  first.by.budget.spender.hearLimit({ upstream: 'up', limit: 'all' }, 0, 1);
  (await first.by.taken()).report(grouped);
  (await other.spend).release();
});

test('one that PostgreSQL cannot keep makes no other question this node’s, and keeps none from being told', async () => {
  const [a, b] = (await start('a', 'b')) as [TestNode, TestNode];
  const held = await b.taken({ by: 't/good' });
  let isLet = false;
  const good = a.taken({ by: 't/good' }).then((spend) => ((isLet = true), spend));
  const odd = await a.taken({ by: 't/nul \0' });
  await turn();
  await turn();
  expect(isLet).toBe(false);
  // Both are told together.
  const third = await a.taken({ by: 't/third' });
  odd.report(grouped);
  third.report(grouped);
  const told = (): Promise<unknown[]> => stack.sql(`select from longwatch.budget_header where kind = 't/third'`);
  while ((await told()).length === 0) await turn();
  held.report(grouped);
  (await good).release();
});

test('a lock that somebody holds on the questions lets nobody ask who may not', async () => {
  const [a, b] = (await start('a', 'b')) as [TestNode, TestNode];
  const held = await b.taken();
  const client = await stack.pool.connect();
  try {
    await client.query('begin; lock table longwatch.budget_header in access exclusive mode');
    let isLet = false;
    const spend = a.taken().then((taken) => ((isLet = true), taken));
    // It has tried, and given up.
    await stack.sql('select pg_sleep(1.5)');
    expect(isLet).toBe(false);
    await client.query('rollback');
    held.report(grouped);
    (await spend).release();
  } finally {
    client.release();
  }
});

test('a claim of a time that is yet to come, of a clock that was set back, keeps nobody from asking', async () => {
  await stack.sql(`insert into longwatch.budget_header (upstream, kind, header, value, told_at)
    values ('up', 'all t/look', '', 'gone', now() + interval '1 hour')`);
  const [a] = (await start('a')) as [TestNode];
  (await a.taken()).release();
});

test('a node that starts knows what others learned of its code, though there are more kinds of path than are read', async () => {
  await stack.sql(`insert into longwatch.budget_header (upstream, kind, header, value, told_at)
    select 'up', 't/look /repos/name' || n, 'x-group', 'g', now() from generate_series(1, 6000) n
    union all select 'up', 't/look', 'x-group', 'g', now() - interval '1 day'`);
  const [a] = (await start('a')) as [TestNode];
  expect(a.take()).toMatchObject({ isShort: true, key: 'g' });
});
