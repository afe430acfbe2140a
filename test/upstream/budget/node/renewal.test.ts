/** The ledger on the real PostgreSQL: parts of several nodes, crossed keys, outages, commits that were lost. */
import { setTimeout as delay } from 'node:timers/promises';
import { setPointHook } from '../../../../activities/lib/points';
import { Proxy } from '../../../support/proxy';
import { answer, CountingUpstream, oneLimit, upstreamOf, type TestNode } from './kit';
import { nodes, stack, start, stop } from './nodes';

/** Sends as fast as it may, until told to stop. */
async function hammer(node: TestNode, upstream: CountingUpstream, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const spend = node.take();
    if (spend.isShort) {
      let leave = (): void => undefined;
      const woken = new Promise<void>((wake) => {
        leave = spend.join({ class: 'watch', requests: 1, wake });
      });
      await Promise.race([woken, delay(200)]);
      leave();
      continue;
    }
    const left = upstream.ask();
    await delay(5);
    spend.report(left === undefined ? answer(429, {}, 1_000) : answer());
  }
}

async function hammerFor(ms: number, upstream: CountingUpstream, of = nodes): Promise<void> {
  let isOver = false;
  const work = of.flatMap((node) => [1, 2].map(() => hammer(node, upstream, () => isOver)));
  await delay(ms);
  isOver = true;
  await Promise.all(work);
}

test('three nodes spend one bucket, most of it, and never more', async () => {
  const upstream = new CountingUpstream(60, 4_000);
  for (const name of ['a', 'b', 'c']) await start(name, upstreamOf(oneLimit({ tokens: 60, window: 4 })));
  await hammerFor(9_000, upstream);
  expect(upstream.refused).toBe(0);
  expect(upstream.served).toBeGreaterThan(70);
});

test('four nodes with many keys in other orders, refused all the time: nobody waits for the other for ever', async () => {
  const deadlocks = async (): Promise<unknown> =>
    stack.sql(`select deadlocks, conflicts from pg_stat_database where datname = current_database()`);
  const before = await deadlocks();
  const limits = upstreamOf(oneLimit({ tokens: 1_000, window: 10 }, { key: ({ id }) => id }));
  for (const name of ['a', 'b', 'c', 'd']) await start(name, limits);
  const served = new Set<string>();
  for (let round = 0; round < 20 || served.size < 4 * 40; round++) {
    const leaves: (() => void)[] = [];
    for (const [i, node] of nodes.entries()) {
      for (let key = 0; key < 40; key++) {
        // Another order on each node.
        const id = String((key * (2 * i + 1) + round) % 40);
        const use = { id, class: 'watch' as const };
        const spend = node.take(use);
        if (spend.isShort) leaves.push(spend.join({ class: 'watch', requests: 1, wake: () => undefined }));
        else {
          served.add(`${node.name}/${id}`);
          spend.report(round % 3 === 0 ? answer(429, {}, 60) : answer());
        }
      }
    }
    await delay(100);
    for (const leave of leaves) leave();
  }
  expect(await deadlocks()).toEqual(before);
});

test('the statements of a second are no more for many requests than for few', async () => {
  const node = await start('a', upstreamOf(oneLimit({ tokens: 100_000, window: 10 })));
  let locks = 0;
  setPointHook((point) => void (point === 'budget.locked' && locks++));
  (await node.taken()).report(answer());
  const until = Date.now() + 4_000;
  let requests = 0;
  while (Date.now() < until) {
    (await node.taken()).report(answer());
    requests++;
    await delay(1);
  }
  expect(requests).toBeGreaterThan(50);
  expect(locks).toBeLessThanOrEqual(8);
});

test('the database is away: a node spends what it has and no more, and goes on when it is back', async () => {
  const proxy = await Proxy.start(stack.servers.databaseUrl);
  const upstream = new CountingUpstream(100, 5_000);
  const limits = upstreamOf(oneLimit({ tokens: 100, window: 5 }));
  try {
    const cut = await start('cut', limits, proxy.url);
    const whole = await start('whole', limits);
    await hammerFor(2_000, upstream, [cut, whole]);
    proxy.swallow();
    const work = hammerFor(9_000, upstream, [cut, whole]);
    await delay(7_000);
    // Its part has ended: nothing is in hand, and nothing comes.
    expect(cut.take().isShort).toBe(true);
    proxy.pass();
    await work;
    (await cut.taken()).report(answer(200));
    expect(upstream.refused).toBe(0);
  } finally {
    proxy.pass();
    await stop(...nodes.filter(({ name }) => name === 'cut'));
    proxy.close();
  }
});

test('the database is away from all nodes for longer than their parts: what is in hand is spent, then all goes on, and each token is told once', async () => {
  const proxies = await Promise.all(['a', 'b'].map(() => Proxy.start(stack.servers.databaseUrl)));
  const upstream = new CountingUpstream(600, 60_000);
  const limits = upstreamOf(oneLimit({ tokens: 600, window: 60 }));
  try {
    for (const [i, name] of ['a', 'b'].entries()) await start(name, limits, proxies[i]!.url);
    await hammerFor(2_000, upstream);
    const before = upstream.served;
    expect(before).toBeGreaterThan(5);
    for (const proxy of proxies) proxy.swallow();
    await hammerFor(6_500, upstream);
    // Their parts have ended: nothing is in hand, and nobody sends.
    const stood = upstream.served;
    await hammerFor(1_500, upstream);
    expect(upstream.served).toBe(stood);
    for (const proxy of proxies) proxy.pass();
    await hammerFor(8_000, upstream);
    expect(upstream.served - stood).toBeGreaterThan(before);
    expect(upstream.refused).toBe(0);
    // The charge for parts that ended is taken back, and messages that came late are not heard twice.
    await Promise.all(nodes.map((node) => node.budget.stop()));
    const [{ own }] = (await stack.sql('select own from longwatch.budget')) as [{ own: number[] }];
    expect(own.reduce((sum, tokens) => sum + tokens, 0)).toBeCloseTo(upstream.served, 6);
  } finally {
    for (const proxy of proxies) proxy.pass();
    await stop(...nodes);
    for (const proxy of proxies) proxy.close();
  }
});

test('the rows of a moment ago, as after a fail-over: nobody is refused', async () => {
  const upstream = new CountingUpstream(100, 8_000);
  for (const name of ['a', 'b']) await start(name, upstreamOf(oneLimit({ tokens: 100, window: 8 })));
  await hammerFor(2_000, upstream);
  await stack.sql('create table saved as select * from longwatch.budget');
  await hammerFor(2_000, upstream);
  // Commits of two seconds are lost, and with them what nodes were granted.
  await stack.sql('begin; delete from longwatch.budget; insert into longwatch.budget select * from saved; commit');
  await hammerFor(8_000, upstream);
  await stack.sql('drop table saved');
  expect(upstream.refused).toBe(0);
  // Lost commits may have granted something: it is charged, and the rest goes on.
  expect(upstream.served).toBeGreaterThan(25);
});

test('a row that nobody can read stops its own bucket and no other', async () => {
  const limits = upstreamOf(oneLimit({ tokens: 100, window: 10 }, { key: ({ id }) => id }));
  const node = await start('a', limits);
  (await node.taken({ id: 'broken' })).report(answer());
  await node.budget.renewals.renewAll();
  await stack.sql(`update longwatch.budget set state = '{}', parts = '"none"' where key = 'broken'`);
  const other = await start('b', limits);
  (await other.taken({ id: 'whole' })).report(answer());
  const spend = other.take({ id: 'broken' });
  expect(spend.isShort).toBe(true);
  await other.budget.renewals.renewAll();
  expect(other.take({ id: 'broken' }).isShort).toBe(true);
  (await other.taken({ id: 'whole' })).report(answer());
});

test('a key that somebody has locked keeps nobody from the others', async () => {
  const limits = upstreamOf(oneLimit({ tokens: 100, window: 10 }, { key: ({ id }) => id }));
  const node = await start('a', limits);
  for (const id of ['held', 'free']) (await node.taken({ id })).report(answer());
  await node.budget.renewals.renewAll();
  const client = await stack.pool.connect();
  try {
    await client.query(`begin; select from longwatch.budget where key = 'held' for update`);
    const other = await start('b', limits);
    other.take({ id: 'held' });
    const spend = other.take({ id: 'free' });
    if (spend.isShort) await new Promise<void>((wake) => spend.join({ class: 'watch', requests: 1, wake }));
    expect(other.take({ id: 'free' }).isShort).toBe(false);
    expect(other.take({ id: 'held' }).isShort).toBe(true);
  } finally {
    await client.query('rollback');
    client.release();
  }
});

test('more locked keys than one statement takes, as while a big limit is closed by hand, keep nobody from the others', async () => {
  const limits = upstreamOf(oneLimit({ tokens: 100, window: 10 }, { key: ({ id }) => id }));
  const node = await start('a', limits);
  const held = Array.from({ length: 450 }, (_, i) => `held ${i}`);
  await Promise.all([...held, 'free'].map(async (id) => (await node.taken({ id })).report(answer())));
  await node.budget.renewals.renewAll();
  const client = await stack.pool.connect();
  try {
    await client.query(`begin; select from longwatch.budget where key like 'held %' for update`);
    // Somebody waits for each of them.
    for (const id of held) {
      const spend = node.take({ id });
      if (spend.isShort) spend.join({ class: 'watch', requests: 1, wake: () => undefined });
      else spend.report(answer());
    }
    const settled = async (): Promise<number> =>
      (await stack.sql<{ spent: number }>(`select spent from longwatch.budget where key = 'free'`))[0]!.spent;
    const before = await settled();
    (await node.taken({ id: 'free' })).report(answer());
    while ((await settled()) === before) await node.budget.renewals.renewAll();
  } finally {
    await client.query('rollback');
    client.release();
  }
});

test('a key that is a secret, or that PostgreSQL could not keep, is a hash in the ledger', async () => {
  const secret = upstreamOf(oneLimit({ tokens: 10, window: 10 }, { key: ({ id }) => id, secret: true }));
  const node = await start('a', secret);
  (await node.taken({ id: 'sw0rdfish' })).report(answer());
  const plain = await start('b', upstreamOf(oneLimit({ tokens: 10, window: 10 }, { key: ({ id }) => id })));
  for (const id of ['nul \0', 'half \ud800', 'x'.repeat(4_000)]) (await plain.taken({ id })).report(answer());
  await Promise.all(nodes.map(({ budget }) => budget.renewals.renewAll()));
  const rows = await stack.sql<{ key: string }>('select key from longwatch.budget');
  expect(rows).toHaveLength(4);
  for (const { key } of rows) expect(key).toMatch(/^#[\w-]{32}$/);
});

test('rows that nobody needs any more are forgotten; the others stay', async () => {
  const node = await start('a', upstreamOf(oneLimit({ tokens: 10, window: 10 }, { key: ({ id }) => id })));
  for (const id of ['old', 'new']) (await node.taken({ id })).report(answer());
  await node.budget.renewals.renewAll();
  await stack.sql(`update longwatch.budget set keep_until = now() - interval '1 hour' where key = 'old'`);
  await node.budget.purge();
  expect(await stack.sql('select key from longwatch.budget')).toEqual([{ key: 'new' }]);
  // It is made anew where somebody comes back to it.
  (await node.taken({ id: 'old' })).report(answer());
  await node.budget.renewals.renewAll();
  await node.budget.renewals.renewAll();
  expect(await stack.sql('select key from longwatch.budget order by key')).toEqual([{ key: 'new' }, { key: 'old' }]);
});
