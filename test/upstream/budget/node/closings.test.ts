/** Closed until, on the real PostgreSQL: told to all nodes at once, known after a restart, opened by hand. */
import { setImmediate as turn } from 'node:timers/promises';
import { closeByHand, openByHand } from '../../../../activities/upstream/budget/by-hand';
import { Proxy } from '../../../support/proxy';
import { answer, oneLimit, TestNode, upstreamOf } from './kit';
import { stack, start as startNode, stop } from './nodes';

const limits = upstreamOf(oneLimit({ tokens: 1_000, window: 60 }, { key: ({ id }) => id }));
const nameOf = (key: string) => ({ upstream: 'up', limit: 'all', key });

const start = (name: string): Promise<TestNode> => startNode(name, limits);

async function spendOnce(node: TestNode, id: string): Promise<void> {
  (await node.taken({ id })).report(answer());
}

/** Until it holds; the test's own time is the limit. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turn();
}

const isClosed = (node: TestNode, key: string): boolean => node.budget.spender.find(nameOf(key))?.isClosed ?? false;

test('64 keys that are refused at once on one node are closed on the other, by notification alone', async () => {
  const [a, b] = [await start('a'), await start('b')];
  const ids = Array.from({ length: 64 }, (_, i) => `key ${i} ${'x'.repeat(80)}`);
  for (const id of [...ids, 'other']) await Promise.all([spendOnce(a, id), spendOnce(b, id)]);
  // Nothing else may tell it.
  b.budget.renewals.renewAll = () => Promise.resolve();
  const spends = await Promise.all(ids.map((id) => a.taken({ id })));
  for (const spend of spends) expect(spend.report(answer(429, {}, 30_000))).toBe(true);
  expect(ids.every((id) => isClosed(a, id))).toBe(true);
  await until(() => ids.every((id) => isClosed(b, id)));
  expect(isClosed(b, 'other')).toBe(false);
  const shortage = b.take({ id: ids[0]! });
  expect(shortage).toMatchObject({ isShort: true, isClosed: true });
  const rows = await stack.sql('select closed_reason from longwatch.budget where closed_until > now()');
  expect(rows).toHaveLength(64);
  expect(rows[0]).toEqual({ closed_reason: 'answered 429' });
});

test('a notification that was lost is made up for by the next renewal', async () => {
  const [a, b] = [await start('a'), await start('b')];
  await Promise.all([spendOnce(a, 'k'), spendOnce(b, 'k')]);
  // It hears nothing: the renewal of another node is what is left.
  await stack.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'longwatch listener'`,
  );
  (await a.taken({ id: 'k' })).report(answer(429, {}, 30_000));
  await until(() => isClosed(b, 'k'));
});

test('closed while the database is away: it holds here, and the others hear of it when it is back', async () => {
  const proxy = await Proxy.start(stack.servers.databaseUrl);
  const a = await new TestNode('a', proxy.url, limits).start();
  try {
    const b = await start('b');
    await Promise.all([spendOnce(a, 'k'), spendOnce(b, 'k')]);
    const spend = await a.taken({ id: 'k' });
    proxy.swallow();
    spend.report(answer(429, {}, 30_000));
    expect(isClosed(a, 'k')).toBe(true);
    // One statement has failed.
    await new Promise((later) => setTimeout(later, 3_500));
    expect(isClosed(b, 'k')).toBe(false);
    proxy.pass();
    await until(() => isClosed(b, 'k'));
    expect(isClosed(a, 'k')).toBe(true);
  } finally {
    proxy.pass();
    await a.stop();
    proxy.close();
  }
});

test('a node that starts anew sends nothing for a closed bucket', async () => {
  const a = await start('a');
  (await a.taken({ id: 'k' })).report(answer(420, {}, 30_000));
  (await a.taken({ id: 'k2' })).report(answer(429, {}, 30_000));
  await stop(a);
  const next = await start('a');
  let isWoken = false;
  const shortage = next.take({ id: 'k2' });
  if (!shortage.isShort) throw new Error('it sends');
  shortage.join({ class: 'watch', requests: 1, wake: () => (isWoken = true) });
  await next.budget.renewals.renewAll();
  await next.budget.renewals.renewAll();
  expect(next.take({ id: 'k2' })).toMatchObject({ isShort: true, isClosed: true });
  expect(isWoken).toBe(false);
});

test('opened by hand it is open on every node, and answers to what was sent before close it no more', async () => {
  const [a, b] = [await start('a'), await start('b')];
  await Promise.all([spendOnce(a, 'k'), spendOnce(b, 'k')]);
  const [first, late] = [await a.taken({ id: 'k' }), await a.taken({ id: 'k' })];
  first.report(answer(429, {}, 30_000));
  await until(() => isClosed(b, 'k'));
  const opened = await a.database.transaction((db) => openByHand(db, [nameOf('k'), nameOf('there is none')]));
  expect(opened).toMatchObject([{ key: 'k', closedUntil: null, generation: 1 }]);
  await until(() => !isClosed(a, 'k') && !isClosed(b, 'k'));
  late.report(answer(429, {}, 30_000));
  expect(isClosed(a, 'k')).toBe(false);
  await spendOnce(b, 'k');
});

test('closed by hand it is closed on every node, with the reason', async () => {
  const [a, b] = [await start('a'), await start('b')];
  await Promise.all([spendOnce(a, 'k'), spendOnce(b, 'k')]);
  await a.database.transaction((db) => closeByHand(db, [nameOf('k')], 30, 'maintenance'));
  await until(() => isClosed(a, 'k') && isClosed(b, 'k'));
  const rows = await stack.sql('select closed_reason, closed_until > now() as closed from longwatch.budget');
  expect(rows).toEqual([{ closed_reason: 'maintenance', closed: true }]);
});

test('anybody may notify: what is not a closing is nothing', async () => {
  const a = await start('a');
  await spendOnce(a, 'k');
  for (const payload of ['', '{', '[1]', '[["up","all","k",-5,0]]', '[["up","all","k",null,0]]', 'null'])
    await stack.sql(`select pg_notify('longwatch_budget', $1)`, [payload]);
  await stack.sql(`select pg_notify('longwatch_budget', $1)`, [JSON.stringify([['up', 'all', 'k', 20, 0]])]);
  await until(() => isClosed(a, 'k'));
});
