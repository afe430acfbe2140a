/**
 * Holds and refetches on the real PostgreSQL: two nodes with a shift each, the client, restarts, answers that come
 * late. The nodes look when the test says so.
 */
import { Client } from 'pg';
import { Told } from '../../activities/tracker/shift/told';
import type { NodeHolds } from '../../activities/tracker/shift/holds';
import { Database } from '../../activities/lib/database';
import { storeOptions } from '../../activities/tracker/store/trackers';
import type { RunContext, RunResult } from '../../exports';
import type { member } from './shift-kit';
import { freshness, type Kit, log, rowOf } from './shift-kit';
import { stack, database, longwatch, tracker, definition, node, refusing, type TestNode } from './told-kit';

test('a hold is known to other nodes, to a restart, to `hold list`, `status` and `show`', async () => {
  const first = await node('first', refusing);
  const second = await node('second');
  await first.pass(1_500);
  await first.look();
  await second.look();
  await second.pass(1_500);
  expect(second.runs).toEqual([]);
  // After a restart: no run before the end of the hold.
  const third = await node('third');
  await third.pass(3_000);
  expect(third.runs).toEqual([]);
  const held = { tracker: 't', operation: 'look', node: 'first', reason: 'HoldError: 429 said the upstream' };
  expect(await longwatch.holds()).toMatchObject([held]);
  const [hold] = await tracker.holds();
  expect(hold!.leftMs).toBeGreaterThan(590_000);
  expect((await tracker.status()).holds).toMatchObject([held]);
  expect((await tracker.show('b')).holds).toMatchObject([held]);
});

test('opened, all nodes ask again, and who was held by itself too; a new refusal is obeyed', async () => {
  let refuse = true;
  const run = (context: RunContext): RunResult => (refuse ? refusing(context) : { value: 1 });
  const first = await node('first', run, {}, undefined, 10_000);
  const second = await node('second', undefined, {}, undefined, 10_000);
  await first.pass(1_500);
  await first.look();
  await second.look();
  expect(await tracker.openHolds('look')).toMatchObject([{ operation: 'look' }]);
  expect(await tracker.holds()).toEqual([]);
  // Nothing was held for this operation any more.
  expect(await tracker.openHolds('look')).toEqual([]);
  for (const one of [first, second]) {
    one.runs.length = 0;
    one.clock.time += 15_000;
    await one.look();
  }
  await second.pass(1_500);
  expect(new Set(second.runs)).toEqual(new Set(['a:-', 'b:-']));
  await first.pass(1_500);
  expect(first.runs).toContain('a:-');
  // It was refused again.
  await first.look();
  expect(await tracker.holds()).toMatchObject([{ operation: 'look' }]);
  refuse = false;
});

test('a lift is told once, also where the clocks have moved apart since', async () => {
  const first = await node('first', refusing, {}, undefined, 10_000);
  await first.pass(1_500);
  await first.look();
  await tracker.openHolds('look');
  const lift = jest.spyOn(first.shift.loops.get('look')!, 'lift');
  await first.look();
  expect(lift).toHaveBeenCalledTimes(1);
  first.clock.fromStore = (ms) => ms + 5_000;
  await first.look();
  expect(lift).toHaveBeenCalledTimes(1);
});

test('a refetch counts from when it was asked, by the node’s own clock', async () => {
  const first = await node('first');
  first.clock.fromStore = (ms) => ms - 60_000;
  await tracker.refetch(['a'], { operation: 'look' });
  await first.look();
  const asked = (first.host.holds as NodeHolds).askedAt('t', 'look', 'a');
  expect(Math.abs(asked + 60_000 - first.clock.time)).toBeLessThan(30_000);
});

test('a node that could not write its hold before it was lifted does not write it after', async () => {
  const first = await node('first', refusing, {}, undefined, 10_000);
  await first.pass(1_500);
  // Nobody has heard of it but the node.
  await tracker.openHolds();
  await first.look();
  expect(await tracker.holds()).toEqual([]);
  first.clock.time += 15_000;
  const before = first.runs.length;
  await first.pass(500);
  expect(first.runs.length).toBeGreaterThan(before);
});

test.each([60_000, -60_000])(
  'with a database whose clock is %d ms ahead of the node’s since a failover, a lift counts as any other',
  async (ahead) => {
    let refuse = true;
    const run = (context: RunContext): RunResult => (refuse ? refusing(context) : { value: 1 });
    // Ten seconds behind besides, so that the test may turn its clock.
    const first = await node('first', run, {}, undefined, ahead + 10_000);
    first.clock.toStore = (ms) => ms + ahead;
    first.clock.fromStore = (ms) => ms - ahead;
    const second = await node('second');
    await first.pass(1_500);
    await first.look();
    await second.look();
    // As long as it was asked for, and told when it was told, by the database's clock.
    const [hold] = await tracker.holds();
    expect(hold!.leftMs).toBeGreaterThan(580_000);
    expect(hold!.leftMs).toBeLessThan(600_000);
    await tracker.openHolds('look');
    refuse = false;
    first.runs.length = 0;
    await first.look();
    await first.pass(1_500);
    expect(first.runs).toContain('a:-');
    // And a hold of after the lift is written.
    refuse = true;
    first.clock.time += 15_000;
    await first.pass(1_500);
    await first.look();
    expect(await tracker.holds()).toMatchObject([{ operation: 'look' }]);
  },
);

test('who has a hold’s row locked keeps no node from the holds of others, nor from what people say', async () => {
  const first = await node('first', refusing, {}, undefined, 10_000);
  const second = await node('second', refusing, {}, undefined, 10_000);
  await first.pass(1_500);
  await first.look();
  await stack.sql(`insert into longwatch.hold (tracker, operation, held_until, told_at, node, reason)
                   values ('t', 'other', now() + interval '1 hour', now(), 'third', 'slow down')`);
  const someone = new Client({ connectionString: stack.servers.databaseUrl });
  await someone.connect();
  try {
    await someone.query('begin');
    await someone.query(`select from longwatch.hold where operation = 'look' for update`);
    second.clock.time += 20_000;
    await second.pass(1_500);
    await tracker.refetch(['b']);
    await second.look();
    const { holds } = second.host;
    expect(holds.until('t', 'other')).toBeGreaterThan(second.clock.now());
    expect(holds.askedAt('t', 'look', 'b')).toBeGreaterThan(0);
  } finally {
    await someone.end();
  }
  // Written when he has let go.
  const [before] = await tracker.holds();
  await second.look();
  expect(await stack.sql(`select node from longwatch.hold where operation = 'look'`)).toEqual([{ node: 'second' }]);
  expect(before).toBeDefined();
});

test('what a member’s row says of before the lift does not count in the next shift', async () => {
  await tracker.openHolds();
  const held = (ids: ReturnType<typeof member>[]) => [
    freshness(ids[0]!, { failedAt: Date.now() - 5_000, heldUntil: Date.now() + 600_000, failures: 3 }),
  ];
  const opened = await node('first', undefined, {}, held);
  await opened.pass(1_500);
  expect(opened.runs).toContain('a:-');
  await stack.sql('delete from longwatch.hold');
  const not = await node('second', undefined, {}, held);
  await not.pass(1_500);
  expect(not.runs).not.toContain('a:-');
});

describe('asked anew', () => {
  const DAY = 86_400_000;
  const caching = ({ etag }: RunContext, { clock }: Kit): RunResult =>
    etag === undefined
      ? { value: 1, etag: 'e1', expiresAt: clock.now() + DAY }
      : { unchanged: true, expiresAt: clock.now() + DAY };

  async function cached(): Promise<TestNode> {
    const one = await node('first', caching, { maxExpiry: '30d' });
    await one.pass(1_500);
    one.runs.length = 0;
    one.clock.time += 60_000;
    await one.pass(1_500);
    expect(one.runs).toEqual([]);
    return one;
  }

  test('one id: without its ETag, at once; the others are left alone', async () => {
    const one = await cached();
    expect(await tracker.refetch(['a', 'nobody', 'a'])).toMatchObject({ members: 1, notTracked: ['nobody'] });
    await one.look();
    await one.pass(100);
    expect(one.runs).toEqual(['a:-']);
    // Once: what came then is what counts.
    await one.look();
    await one.pass(3_000);
    expect(one.runs).toEqual(['a:-']);
  });

  test.each([['before it was asked'], ['before the node heard of it']])(
    'an id whose run began %s: that answer is not the last word, and it is asked again at once',
    async (when) => {
      let answer: ((result: RunResult) => void) | undefined;
      const waits = ({ etag, id }: RunContext): RunResult => {
        if (id === 'b' || etag === undefined) return { value: 2, etag: 'e2', expiresAt: Date.now() + DAY };
        return new Promise<RunResult>((resolve) => (answer = resolve)) as unknown as RunResult;
      };
      const stored = (ids: ReturnType<typeof member>[]) =>
        ids.map((id) => freshness(id, { fetchedAt: Date.now() - 3 * DAY, etag: 'old' }));
      const one = await node('first', waits, { every: '1d', maxExpiry: '30d', timeout: '1h' }, stored, 10_000);
      if (when === 'before the node heard of it') {
        await tracker.refetch();
        one.clock.time += 20_000;
      }
      await one.pass(100);
      expect(one.runs).toContain('a:old');
      if (when === 'before it was asked') {
        await tracker.refetch();
        one.clock.time += 20_000;
      }
      one.runs.length = 0;
      await one.look();
      answer!({ unchanged: true, etag: 'old', expiresAt: Date.now() + DAY });
      await one.pass(100);
      expect(one.runs).toContain('a:-');
      const [, taken] = [...one.shift.harvest()].find(([loop]) => loop.name === 'look')!;
      expect([...taken.successes.values()].find(({ json }) => json === '2')).toMatchObject({ etag: 'e2' });
    },
  );

  test('all ids of one operation', async () => {
    const one = await cached();
    await tracker.refetch(undefined, { operation: 'other' });
    await one.look();
    await one.pass(100);
    expect(one.runs).toEqual([]);
    await tracker.refetch(undefined, { operation: 'look' });
    await one.look();
    await one.pass(100);
    expect(one.runs.sort()).toEqual(['a:-', 'b:-']);
  });

  test('also where nobody kept the pool when it was asked', async () => {
    await tracker.refetch(['a']);
    const stored = (ids: ReturnType<typeof member>[]) =>
      ids.map((id) => freshness(id, { fetchedAt: Date.now() - 60_000, expiresAt: Date.now() + DAY, etag: 'old' }));
    const one = await node('later', caching, { maxExpiry: '30d' }, stored);
    await one.pass(1_500);
    expect(one.runs).toEqual(['a:-']);
  });

  test('a new version of the code, once it is declared; a worker of the old one keeps no ETag', async () => {
    const one = await cached();
    const { options } = rowOf(definition(() => ({ value: 1 }), { version: 2, maxExpiry: '30d' }));
    await database.transaction((db) => storeOptions(db, 't', options));
    await one.look();
    one.shift.follow({ ...one.tracker, options });
    await one.pass(100);
    expect(one.runs.sort()).toEqual(['a:-', 'b:-']);
    const [, taken] = [...one.shift.harvest()].find(([loop]) => loop.name === 'look')!;
    for (const row of taken.successes.values()) expect(row).toMatchObject({ etag: null, expiresAt: null });
    // The same options again are not a new version.
    const before = await stack.sql('select * from longwatch.refetch');
    expect(before).toHaveLength(1);
    await database.transaction((db) => storeOptions(db, 't', options));
    expect(await stack.sql('select * from longwatch.refetch')).toEqual(before);
  });

  test('what was fetched right after it was asked may be of a run that began before, and is asked once more; what came later is not', async () => {
    await tracker.refetch();
    const [{ at }] = (await stack.sql<{ at: number }>(
      'select (extract(epoch from asked_at) * 1000)::float8 as at from longwatch.refetch',
    )) as [{ at: number }];
    const stored = (ids: ReturnType<typeof member>[]) =>
      ids.map((id, i) => {
        // The time-out is 5 s, and a node hears within two.
        const fetchedAt = at + [6_900, 7_100][i]!;
        return freshness(id, { fetchedAt, expiresAt: fetchedAt + DAY, etag: 'of then' });
      });
    const one = await node('later', caching, { maxExpiry: '30d', timeout: '5s' }, stored, -60_000);
    await one.pass(1_500);
    expect(one.runs).toEqual(['a:-']);
    await one.pass(5_000);
    expect(one.runs).toEqual(['a:-']);
  });

  test('an operation or ids that are none are refused', async () => {
    await expect(tracker.refetch(['a'], { operation: 'nothing' })).rejects.toThrow(
      /has no operation 'nothing'; it has: /,
    );
    await expect(tracker.openHolds('nothing')).rejects.toThrow(/has no operation 'nothing'/);
    await expect(longwatch.tracker('nobody').refetch()).rejects.toThrow(/no tracker 'nobody'/);
    const many = Array.from({ length: 10_001 }, (_, i) => String(i));
    await expect(tracker.refetch(many)).rejects.toThrow(/10001 ids are more than/);
    expect(await tracker.refetch(['\0', '\ud800'])).toMatchObject({ members: 0, notTracked: ['\0', '\ud800'] });
  });
});

test('without the database holds stay in memory, and are written when it is back', async () => {
  const first = await node('first', refusing);
  await first.pass(1_500);
  const away = new Told(new Database({ url: 'postgres://127.0.0.1:1/x', log, connectTimeoutMs: 200 }), {
    holds: first.host.holds as NodeHolds,
    shifts: new Set([first.shift]),
    clock: first.clock,
    log,
    row: { name: 'first' },
  });
  await away.start();
  expect(await tracker.holds()).toEqual([]);
  await first.look();
  expect(await tracker.holds()).toMatchObject([{ operation: 'look' }]);
});
