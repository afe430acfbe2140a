/**
 * The indexer on a real node and a real PostgreSQL: every row as the node has it, whatever the chain does meanwhile.
 */
import { Head } from '../../../examples/blocks/index/head';
import { Missing } from '../../../examples/blocks/index/missing';
import { beginFetch, blockText, brokenLinks, writeBlocks } from '../../../examples/blocks/store/blocks';
import { counts } from '../../../examples/blocks/store/gaps';
import { awaitingReceipts, receiptText, writeReceipts } from '../../../examples/blocks/store/receipts';
import { Kit, range } from './kit';

let kit: Kit;

beforeAll(async () => {
  kit = await Kit.start();
  await kit.traffic.mine(150);
});
afterAll(() => kit?.close());
beforeEach(() => kit.empty());

const look = (now?: () => number) => new Head(kit.chain, kit.database, 0, now).look();

test('every row is as the node has it', async () => {
  const head = await kit.head();
  const done = await kit.index(range(0, head));
  expect(done.written).toHaveLength(head + 1);
  expect(done.failed).toEqual([]);
  expect(await kit.agree()).toBe(head + 1);
  const { rows } = await kit.database.pool.query<{ failed: number; created: number; empty: number; logs: number }>(
    `select (select count(*)::int from chain.receipt where not succeeded) as failed,
            (select count(*)::int from chain.receipt where contract is not null) as created,
            (select count(*)::int from chain.block where transactions = 0) as empty,
            (select count(*)::int from chain.log) as logs`,
  );
  // Otherwise the comparison would prove little.
  for (const count of Object.values(rows[0]!)) expect(count).toBeGreaterThan(0);
});

test('the same blocks again change nothing, and a batch that died between its writes is taken up', async () => {
  const numbers = range(0, 50);
  const first = await kit.blocks.index(numbers);
  expect(first.awaiting.length).toBeGreaterThan(0);
  // The receipts were not asked for: whoever comes second hears of them again.
  const second = await kit.blocks.index(numbers);
  expect(second).toMatchObject({ written: [], replaced: [], removed: [], failed: [] });
  expect(second.awaiting).toEqual(first.awaiting);
  await kit.receipts.index(second.awaiting);
  expect(await kit.receipts.index(second.awaiting)).toMatchObject({ written: 0, changed: [], failed: [] });
  expect((await kit.blocks.index(numbers)).awaiting).toEqual([]);
});

test('blocks past the head are none that failed', async () => {
  const head = await kit.head();
  const done = await kit.blocks.index([head, head + 1, head + 1_000]);
  expect(done).toMatchObject({ written: [head], failed: [] });
});

test('what is missing comes the newest first, a page at a time, and only once', async () => {
  const head = await kit.head();
  const missing = new Missing(kit.chain, kit.database, 10, 0);
  await kit.blocks.index(range(100, 120));
  const seen: number[] = [];
  let cursor: number | undefined;
  do {
    const page = await missing.blocks(cursor, 40);
    seen.push(...page.entries);
    cursor = page.cursor;
  } while (cursor !== undefined);
  expect(seen).toEqual([...range(10, 99), ...range(121, head)].reverse());

  const awaiting: number[] = [];
  do {
    const page = await missing.receipts(cursor, 7);
    awaiting.push(...page.entries);
    cursor = page.cursor;
  } while (cursor !== undefined);
  const { rows } = await kit.database.pool.query<{ number: number }>(
    'select number::int as number from chain.block where transactions > 0 order by number desc',
  );
  expect(awaiting).toEqual(rows.map(({ number }) => number));
  // Somebody wrote them a moment ago, and is about to push them.
  expect(await new Missing(kit.chain, kit.database, 10).receipts(undefined, 7)).toEqual({ entries: [] });
});

describe('a reorganisation', () => {
  test.each([1, 7, 60])('of depth %i between two batches', async (depth) => {
    await kit.index(range(0, await kit.head()));
    await kit.traffic.reorganise(depth);
    await kit.traffic.mine(3);
    const { wanted, number } = await look();
    // The head alone leads to all of it: each block says which one it follows.
    expect(wanted).toEqual(range(number - 2, number).reverse());
    const done = await kit.index(wanted);
    expect(done.replaced).toHaveLength(depth);
    expect(await kit.agree()).toBe(number + 1);
  });

  test('seen by a head that did not grow', async () => {
    await kit.index(range(0, await kit.head()));
    await kit.traffic.reorganise(5);
    const { wanted, number } = await look();
    expect(wanted).toEqual([number, number - 1]);
    await kit.index(wanted);
    expect(await kit.agree()).toBe(number + 1);
  });

  test.each([1, 7, 60])('of depth %i in the middle of indexing from the newest down', async (depth) => {
    const head = await kit.head();
    const batches = Array.from({ length: 8 }, (_, k) => range(Math.max(0, head - 19 - 20 * k), head - 20 * k));
    // The upper blocks are of the old chain, the lower ones of the new.
    for (const batch of batches.slice(0, 2)) await kit.index(batch);
    await kit.traffic.reorganise(depth);
    for (const batch of batches.slice(2)) await kit.index(batch);
    await kit.index((await look()).wanted);
    const rest = await new Missing(kit.chain, kit.database, 0).blocks(undefined, 1_000);
    await kit.index(rest.entries);
    expect(await kit.agree()).toBe(head + 1);
  });

  test('while batches run side by side', async () => {
    const head = await kit.head();
    const batches = Array.from({ length: Math.ceil((head + 1) / 10) }, (_, k) =>
      range(Math.max(0, head - 9 - 10 * k), head - 10 * k),
    );
    const indexing = Promise.all(batches.map((batch) => kit.index(batch)));
    await kit.traffic.reorganise(60);
    await indexing;
    await kit.traffic.reorganise(7);
    await kit.traffic.mine(2);
    await kit.index((await look()).wanted);
    await kit.index((await look()).wanted);
    expect(await kit.agree()).toBe((await kit.head()) + 1);
  });

  test('across a gap is found when the gap is filled', async () => {
    const head = await kit.head();
    // Two islands of the old chain, the lower one out of the sight of the head.
    await kit.index(range(head - 5, head));
    await kit.index(range(head - 30, head - 20));
    await kit.traffic.reorganise(40);
    await kit.index((await look()).wanted.filter((number) => number >= head - 5));
    expect(await brokenLinks(kit.database.pool, range(0, head))).toEqual([]);
    await kit.index(range(head - 19, head - 6));
    await kit.index(range(0, head - 31));
    expect(await kit.agree()).toBe(head + 1);
  });

  test('between a block and its receipts', async () => {
    const { awaiting } = await kit.blocks.index(range(0, await kit.head()));
    await kit.traffic.reorganise(60);
    const done = await kit.receipts.index(awaiting);
    expect(done.changed.length).toBeGreaterThan(20);
    expect(done.failed).toEqual([]);
    // As the buffer does it.
    await kit.index(done.changed);
    await kit.index((await look()).wanted);
    await kit.agree();
  });

  test('receipts of a block that was replaced meanwhile are not written', async () => {
    const numbers = range(0, await kit.head());
    const { awaiting } = await kit.blocks.index(numbers);
    const blocks = await awaitingReceipts(kit.database.pool, awaiting);
    const receipts = (await kit.chain.receipts(blocks)).flatMap((outcome) => (outcome.ok ? [outcome.value] : []));
    await kit.traffic.reorganise(60);
    await kit.index(numbers);
    const before = await counts(kit.database.pool);
    await writeReceipts(kit.database, receiptText(receipts));
    // Blocks below the fork were still awaited.
    const written = (await counts(kit.database.pool)).awaiting - before.awaiting;
    expect(written).toBeLessThanOrEqual(0);
    await kit.index(numbers);
    await kit.agree();
  });
});

test('a batch that slept through a reorganisation does not bring the old chain back', async () => {
  const numbers = range(0, await kit.head());
  const sleeper = await beginFetch(kit.database.pool);
  const old = (await kit.chain.blocks(numbers)).flatMap((outcome) => (outcome.ok ? [outcome.value] : []));
  await kit.traffic.reorganise(60);
  await kit.index(numbers);
  expect(await writeBlocks(kit.database, sleeper, blockText(old))).toEqual({ written: [], replaced: [] });
  await kit.agree();
});

test('a chain that became shorter loses its blocks, once that has been so for a while', async () => {
  const head = await kit.head();
  await kit.index(range(0, head));
  await kit.traffic.rollBack(5);
  let now = 0;
  const follower = new Head(kit.chain, kit.database, 0, () => now);
  await follower.look();
  now = 9_999;
  // A node behind a balancer may only be late.
  await follower.look();
  expect((await counts(kit.database.pool)).top).toBe(head);
  now = 10_000;
  await follower.look();
  expect(await kit.agree()).toBe(head - 4);
});

test('a chain that became shorter and another one loses its blocks at once', async () => {
  const head = await kit.head();
  await kit.index(range(0, head));
  await kit.traffic.rollBack(8);
  await kit.traffic.mine(2);
  await kit.index((await look()).wanted);
  expect(await kit.agree()).toBe(head - 5);
});
