/**
 * Limits that a person closes for all of their keys, on the real PostgreSQL: those that come later, those of single
 * members and those that nobody knows yet are closed with them, and opened again.
 */
import { pino } from 'pino';
import { Database } from '../../../../activities/lib/database';
import { closeFollowing, closeWhole } from '../../../../activities/upstream/budget/by-hand';
import { UpstreamSettings } from '../../../../activities/upstream/spend/settings';
import type { PurseRow, Shortage, UpstreamLimit, Use } from '../../../../activities/upstream/budget/spender';
import { resolveUpstream } from '../../../../config/resolve/upstream';
import type { Longwatch } from '../../../../client/longwatch';
import { UnknownBucketError } from '../../../../client/errors';
import { runCli } from '../../../support/cli';
import { answer, oneLimit, upstreamOf, type TestNode } from './kit';
import { stack, start as startNode } from './nodes';

let longwatch: Longwatch;
beforeAll(async () => {
  longwatch = await stack.connect();
});
beforeEach(async () => {
  await stack.sql('truncate longwatch.upstream');
  await stack.sql(`insert into longwatch.upstream (name, options) values ('up', '{"limits": {"all": {}}}')`);
});

const start = (name: string, more: Partial<UpstreamLimit> = {}): Promise<TestNode> =>
  startNode(name, upstreamOf(oneLimit({ tokens: 1_000, window: 60 }, { key: ({ id }) => id, ...more })));

/** Until the ledger has answered for a key; whether it is closed then. */
async function asked(node: TestNode, id: string): Promise<boolean> {
  const spend = node.take({ id });
  if (spend.isShort && !spend.isClosed) {
    const leave = spend.join({ class: 'watch', requests: 1, wake: () => undefined });
    await node.budget.renewals.renewAll();
    leave();
  }
  const again = spend.isShort ? node.take({ id }) : spend;
  if (again.isShort) return again.isClosed;
  again.report(answer());
  return false;
}

test('a key that comes later is closed as well, on every node, and after a restart; opened, it goes on', async () => {
  const [a, b] = [await start('a'), await start('b')];
  (await a.taken({ id: 'old' })).report(answer());
  await a.budget.renewals.renewAll();
  const closed = await longwatch.budget.close('up/all', 600_000, { why: 'they asked us' });
  expect(closed.map(({ bucket }) => bucket)).toEqual(['up/all:old']);
  expect(await asked(b, 'new')).toBe(true);
  expect(await asked(await start('c'), 'newer')).toBe(true);
  const rows = await longwatch.budget.list({ upstream: 'up' });
  expect(rows.map(({ key, closedReason }) => [key, closedReason])).toEqual(
    ['new', 'newer', 'old'].map((key) => [key, 'they asked us']),
  );
  expect(await longwatch.budget.closedLimits('up')).toMatchObject([
    { bucket: 'up/all', upstream: 'up', limit: 'all', closedReason: 'they asked us' },
  ]);
  const list = await runCli(stack, 'budget', 'list');
  expect(list.out).toMatch(/up\/all, all keys: closed for .*: they asked us/);
  const { out } = await runCli(stack, 'budget', 'list', '--json');
  expect(JSON.parse(out)).toMatchObject([{ bucket: 'up/all' }, { key: 'new' }, { key: 'newer' }, { key: 'old' }]);

  await longwatch.budget.open('up/all');
  expect(await longwatch.budget.closedLimits()).toEqual([]);
  (await b.taken({ id: 'new' })).report(answer());
  expect(await asked(b, 'newest')).toBe(false);
});

test('a bucket that is opened by itself stays open; the limit stays closed for the others, and for those that come', async () => {
  const a = await start('a');
  for (const id of ['one', 'two']) (await a.taken({ id })).report(answer());
  await a.budget.renewals.renewAll();
  await longwatch.budget.close('up/all', 600_000);
  expect(await longwatch.budget.open('up/all:one')).toMatchObject([{ closedMs: 0 }]);
  await a.budget.renewals.renewAll();
  (await a.taken({ id: 'one' })).report(answer());
  expect(await asked(a, 'two')).toBe(true);
  expect(await asked(a, 'three')).toBe(true);
  // Closed anew, all of them are.
  await longwatch.budget.close('up/all', 600_000);
  expect((await longwatch.budget.show('up/all:one')).closedMs).toBeGreaterThan(0);
});

test('a bucket that is opened by itself while its limit is still being closed stays open', async () => {
  const a = await start('a');
  for (const id of ['one', 'two']) (await a.taken({ id })).report(answer());
  await a.budget.renewals.renewAll();
  const names = ['one', 'two'].map((key) => ({ upstream: 'up', limit: 'all', key }));
  await a.database.transaction((db) => closeWhole(db, names[0]!, 600, 'they asked us'));
  await longwatch.budget.open('up/all:one');
  const closed = await a.database.transaction((db) => closeFollowing(db, names));
  expect(closed).toMatchObject([{ key: 'two', closedReason: 'they asked us' }]);
  expect((await longwatch.budget.show('up/all:one')).closedMs).toBe(0);
  expect(await a.database.transaction((db) => closeFollowing(db, names))).toEqual([]);
});

test('a limit of which nobody has spent yet is closed all the same; one that there is not is refused', async () => {
  expect(await longwatch.budget.close('up/all', 600_000)).toEqual([]);
  expect(await asked(await start('a'), 'first')).toBe(true);
  await expect(longwatch.budget.close('up/oll', 600_000)).rejects.toThrow(UnknownBucketError);
  await expect(longwatch.budget.close('upp/all', 600_000)).rejects.toThrow(UnknownBucketError);
  expect(await longwatch.budget.closedLimits()).toHaveLength(1);
  const said = await runCli(stack, 'budget', 'close', 'up/all', '--for', '5m');
  expect(said.out).toContain('closed for 5 min: all keys of up/all, 1 bucket by now');
});

/** A member of a shift on the node, and what is its own. */
function memberOn(node: TestNode, rows: readonly PurseRow[] = []) {
  const purse = node.budget.spender.purse(1);
  purse.load(0, rows, true);
  return { id: 'm', purse, slot: 0 };
}

/** Until the node has heard that it is closed. */
async function closedFor(node: TestNode, use: Partial<Use>): Promise<Shortage> {
  for (;;) {
    const spend = node.take(use);
    if (spend.isShort && spend.isClosed) return spend;
    if (!spend.isShort) spend.release();
    await new Promise(setImmediate);
  }
}

test('members’ own buckets are closed by notification, and their line goes on when the limit is opened', async () => {
  const node = await start('a', { scope: 'member' });
  const use = memberOn(node);
  (await node.taken(use)).report(answer());
  await longwatch.budget.close('up/all', 600_000);
  const shortage = await closedFor(node, use);
  expect(shortage.waitMs).toBeGreaterThan(500_000);
  const woken = new Promise<void>((wake) => void shortage.join({ class: 'watch', requests: 1, wake }));
  await longwatch.budget.open('up/all');
  await woken;
  expect(node.take(use).isShort).toBe(false);
});

test('what an upstream closed of a member’s own is opened with the limit, and is stored so; also where nobody has asked for it yet', async () => {
  const node = await start('a', { scope: 'member' });
  const use = memberOn(node);
  (await node.taken(use)).report(answer(429, {}, 60_000));
  const [row] = use.purse.harvest(10);
  use.purse.flushed([row!], true);
  expect(row!.closedUntil).toBeGreaterThan(0);
  const other = memberOn(node, [row!]);
  const shortage = await closedFor(node, use);
  const woken = new Promise<void>((wake) => void shortage.join({ class: 'watch', requests: 1, wake }));
  expect(await longwatch.budget.open('up/all')).toEqual([]);
  await woken;
  expect(node.take(use).isShort).toBe(false);
  expect(node.take(other).isShort).toBe(false);
  expect(use.purse.harvest(10)).toMatchObject([{ slot: 0, closedUntil: undefined }]);
});

test('a closing whose time the database’s clock has skipped is opened all the same', async () => {
  const node = await start('a', { scope: 'member' });
  const use = memberOn(node);
  await longwatch.budget.close('up/all', 600_000);
  const shortage = await closedFor(node, use);
  const woken = new Promise<void>((wake) => void shortage.join({ class: 'watch', requests: 1, wake }));
  await stack.sql(`update longwatch.budget_closing set closed_until = now() - interval '1 second'`);
  await longwatch.budget.open('up/all');
  await woken;
});

test('a word of after the rows were lost is heard by nodes that have heard many', async () => {
  const node = await start('a', { scope: 'member' });
  const use = memberOn(node);
  for (let i = 0; i < 3; i++) {
    await longwatch.budget.close('up/all', 600_000);
    const shortage = await closedFor(node, use);
    const woken = new Promise<void>((wake) => void shortage.join({ class: 'watch', requests: 1, wake }));
    await longwatch.budget.open('up/all');
    await woken;
  }
  await stack.sql('delete from longwatch.budget_closing');
  await longwatch.budget.close('up/all', 600_000);
  await closedFor(node, use);
});

test('nobody asks for a key while its limit is closed', async () => {
  const node = await start('a', { key: ({ header }) => header('x-group') });
  await longwatch.budget.close('up/all', 600_000);
  await closedFor(node, {});
  await longwatch.budget.open('up/all');
  // One that was refused may ask again once the limit is opened.
  (await node.taken()).report(answer(429, {}, 600_000));
  const shortage = await closedFor(node, {});
  expect(shortage.waitMs).toBeGreaterThan(500_000);
  await longwatch.budget.open('up/all');
  (await node.taken()).report(answer(200, { 'x-group': 'g' }));
});

test('a node that starts, or missed the notification, reads it with the options of each second', async () => {
  const log = pino({ level: 'silent' });
  const database = new Database({ url: stack.servers.databaseUrl, log, connections: 1 });
  try {
    const definition = {
      name: 'up',
      origin: 'http://localhost',
      limits: { all: { key: 'address', tokens: 5, window: '1m' } },
    };
    const upstream = resolveUpstream(definition as Parameters<typeof resolveUpstream>[0], []);
    const words: unknown[] = [];
    const settings = new UpstreamSettings({
      database,
      upstreams: [upstream],
      define: () => undefined,
      hearLimit: (limit, closedFor, serial) => words.push([limit, Math.ceil(closedFor / 100), serial]),
      log,
    });
    await longwatch.budget.close('up/all', 600_000);
    await settings.start();
    await longwatch.budget.open('up/all');
    await settings.stop();
    await settings.look();
    expect(words).toEqual([
      [{ upstream: 'up', limit: 'all' }, 6, expect.any(Number)],
      [{ upstream: 'up', limit: 'all' }, 0, expect.any(Number)],
    ]);
    const [closed, opened] = words.map((word) => (word as [unknown, unknown, number])[2]);
    expect(opened).toBeGreaterThan(closed!);
  } finally {
    await database.close();
  }
});
