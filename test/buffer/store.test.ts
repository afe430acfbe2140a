/**
 * The writes of a shard's activities, on the real PostgreSQL: keys and rows that it refuses, lives that follow one
 * another, stores that come late, dead letters that are dropped, keys of a version before.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pino } from 'pino';
import { createBufferActivities, type BufferDeps } from '../../activities/buffer';
import { reviveShards } from '../../activities/buffer/revive';
import { expireRows, readRows, sendRow, staleEntries } from '../../activities/buffer/store/chunks';
import { Database } from '../../activities/lib/database';
import type { StoreRow } from '../../workflows/buffer/activities';
import type { ShardStatus } from '../../workflows/buffer/contract';
import { keepableKey } from '../../workflows/buffer/keys';
import { freshShardState } from '../../workflows/buffer/queue';
import type { Chunk } from '../../workflows/buffer/state';
import { shardStatus } from '../../workflows/buffer/status';
import { Stack } from '../support/stack';
import { OPTIONS } from './options';

const MIGRATION = path.join(__dirname, '../../db/migrations/0008_buffer_lives.sql');

let stack: Stack;
let database: Database;
let activities: ReturnType<typeof createBufferActivities>;
/** The state of the shard's workflow, by Temporal. */
let run: 'missing' | 'running' = 'missing';
let buffer = '';
let buffers = 0;

beforeAll(async () => {
  stack = await Stack.start();
  const log = pino({ level: 'silent' });
  database = new Database({ url: stack.servers.databaseUrl, log });
  const temporal = { lastRun: () => Promise.resolve({ state: run, runId: 'r' }) };
  activities = createBufferActivities({ database, temporal, log, node: 'n' } as unknown as BufferDeps);
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(async () => {
  run = 'missing';
  buffer = `b${++buffers}`;
  await stack.sql(`insert into longwatch.buffer (name, options) values ($1, $2)`, [buffer, JSON.stringify(OPTIONS)]);
});

let moment = 1_000;
const chunk = (first: number, entries: unknown[], more: Partial<Chunk> = {}): Chunk => ({
  first,
  count: entries.length,
  bytes: 10,
  entries: entries as never,
  since: 0,
  ...more,
});
const row = (number: number, of: Chunk, more: Partial<StoreRow> = {}): StoreRow => ({
  id: `${buffer}.0.${number}`,
  number,
  lane: 'back',
  place: number,
  chunk: of,
  ...more,
});
const store = (rows: StoreRow[], at = ++moment) =>
  activities.storeChunks({ buffer, shard: 0, rows, keyed: true, moment: at });
const rows = () =>
  stack.sql<{ id: string; shard: number | null; place: string | null }>(
    `select id, shard, place from longwatch.buffer_chunk where buffer = $1 order by id`,
    [buffer],
  );
const status = (more: Partial<ShardStatus> = {}): ShardStatus => ({
  ...shardStatus(freshShardState({ options: OPTIONS, paused: false, version: 1 }, null), buffer, 0, 0),
  ...more,
});
const state = (told: number) => ({
  ...freshShardState({ options: OPTIONS, paused: false, version: 1 }, null),
  told,
});

test('a row of a sender that was told with a wrong count is not taken over, and is told with the one that it has', async () => {
  const send = (id: string, entries: number[]) =>
    database.transaction((db) =>
      sendRow(db, { buffer, id, entries, json: JSON.stringify(entries), keys: entries.map((n) => `k${n}`) }, 60),
    );
  await send('three', [1, 2, 3]);
  await send('right', [4]);
  const sent = (id: string, number: number, count: number) =>
    row(number, { first: number * 10, count, bytes: 5, row: id, from: 0, since: 0 }, { id });
  const all = [sent('three', 1, 1_000), sent('right', 2, 1), sent('nowhere', 3, 5)];
  const refused = await store(all);
  expect(refused).toEqual([{ id: 'three', error: 'row three was said to have 1000 entries, and has 3', count: 3 }]);
  expect(await rows()).toEqual([
    { id: 'right', shard: 0, place: '2' },
    { id: 'three', shard: null, place: null },
  ]);
  expect(await store([sent('three', 1, 3)])).toEqual([]);
});

describe('keys that no store keeps', () => {
  const odd = ['\u0000', 'a\u0000b', '\ud800', 'x\udc00y', 'u'.repeat(3_000), 'ж'.repeat(2_000), `${'a'.repeat(199)}é`];

  test('are stored, found again and buried, each by itself', async () => {
    const keys = odd.map(keepableKey);
    expect(new Set(keys).size).toBe(odd.length);
    expect(await store([row(1, chunk(1, odd, { keys }))])).toEqual([]);
    const found = await database.transaction((db) =>
      staleEntries(db, buffer, 0, [
        ...keys.map((key) => ({ key, number: 0 })),
        ...keys.map((key, i) => ({ key, number: i + 1 })),
      ]),
    );
    expect([...found].sort((a, b) => a - b)).toEqual(odd.map((_, i) => i));
    const errors = [{ at: 1, error: 'no\u0000\ud800' }];
    await activities.buryEntries({ buffer, shard: 0, chunks: [chunk(1, odd, { keys: odd, errors })] });
    const dead = await stack.sql(`select value, key from longwatch.buffer_dead where buffer = $1 order by entry`, [
      buffer,
    ]);
    expect(dead).toHaveLength(odd.length);
  });

  test('of a version before are known by their hash as well: in rows, notes and letters', async () => {
    const long = 'u'.repeat(2_000);
    const [up] = readFileSync(MIGRATION, 'utf8').split('-- Down Migration') as [string];
    const migrate = up.slice(up.indexOf('update longwatch.buffer_chunk'));
    await store([row(1, chunk(1, [1, 2], { keys: ['short', null] }))]);
    await stack.sql(`update longwatch.buffer_chunk set keys = array[$2, null, 'short'] where buffer = $1`, [
      buffer,
      long,
    ]);
    await stack.sql(`insert into longwatch.buffer_key values ($1, 0, $2, 7), ($1, 0, $3, 9)`, [
      buffer,
      long,
      keepableKey(long),
    ]);
    await stack.sql(
      `insert into longwatch.buffer_dead (buffer, shard, entry, value, key, error, errors, attempts) values ($1, 0, 1, '1', $2, '', '[]', 1)`,
      [buffer, long],
    );
    // Twice: what is hashed stays as it is.
    await stack.sql(migrate);
    await stack.sql(migrate);
    const hashed = keepableKey(long);
    expect(hashed).toMatch(/^sha256:/);
    expect(await stack.sql(`select keys from longwatch.buffer_chunk where buffer = $1`, [buffer])).toEqual([
      { keys: [hashed, null, 'short'] },
    ]);
    expect(
      await stack.sql(`select key, entry::int from longwatch.buffer_key where buffer = $1 order by entry desc`, [
        buffer,
      ]),
    ).toEqual([
      { key: hashed, entry: 9 },
      { key: 'short', entry: 1 },
    ]);
    expect(await stack.sql(`select key from longwatch.buffer_dead where buffer = $1`, [buffer])).toEqual([
      { key: hashed },
    ]);
  });
});

test('a row that cannot be stored does not stop the others', async () => {
  // A number that is past what the column holds: refused by PostgreSQL, whatever is done.
  const bad = row(2, chunk(2, [2], { bytes: 1e12 }));
  const refused = await store([row(1, chunk(1, [1])), bad, row(3, chunk(3, [3]))]);
  expect(refused).toEqual([{ id: bad.id, error: expect.stringContaining('out of range') as string }]);
  expect((await rows()).map(({ id }) => id)).toEqual([`${buffer}.0.1`, `${buffer}.0.3`]);
  // So is a part of a row that is gone.
  const part = row(4, { first: 9, count: 1, bytes: 1, since: 0, row: 'gone', from: 0 });
  expect(await store([part])).toEqual([{ id: part.id, error: expect.stringContaining('is gone') as string }]);
});

test('a letter whose value cannot be kept says so, and those beside it are buried', async () => {
  await stack.sql(`alter table longwatch.buffer_dead add constraint no_bad check (value::text <> '"bad"')`);
  await activities.buryEntries({
    buffer,
    shard: 0,
    chunks: [chunk(1, ['one']), chunk(2, ['bad']), chunk(3, ['three'])],
  });
  const letters = await stack.sql<{ value: unknown; errors: { error: string }[] }>(
    `select value, errors from longwatch.buffer_dead where buffer = $1 order by entry`,
    [buffer],
  );
  expect(letters.map(({ value }) => value)).toEqual(['one', null, 'three']);
  expect(letters[1]!.errors.at(-1)!.error).toContain('its value cannot be kept');
  await stack.sql(`alter table longwatch.buffer_dead drop constraint no_bad`);
});

describe('the stores of a shard', () => {
  test('are ordered: one that comes late, of a run that was ended, writes nothing', async () => {
    await store([row(1, chunk(1, [1]))], 2_000);
    await expect(store([row(2, chunk(2, [2]))], 1_999)).rejects.toMatchObject({ type: 'Fenced' });
    // The same again, where its answer was lost.
    expect(await store([row(1, chunk(1, [1]))], 2_000)).toEqual([]);
    expect(await rows()).toHaveLength(1);
  });

  test('replace the rows of a run that was ended in its last moments, where their numbers are used again', async () => {
    await store([row(1, chunk(1, [1])), row(2, chunk(2, [2])), row(3, chunk(3, [3]))], 3_000);
    // A reset: 2 goes to a sender's row, 3 to one that stays in memory by reference.
    await database.transaction((db) => sendRow(db, { buffer, id: 'sent', entries: [9], json: '[9]' }, 60));
    const sent = { id: 'sent', chunk: { first: 2, count: 1, bytes: 3, since: 0, row: 'sent', from: 0 } };
    await store([row(2, chunk(2, []), sent), row(3, chunk(3, [33]), { place: null })], 4_000);
    const found = await activities.fetchChunks({ buffer, shard: 0, lane: 'back', from: 1, to: 3, dueMs: 0, limit: 50 });
    expect(found.chunks.map((one) => one.row)).toEqual([`${buffer}.0.1`, 'sent']);
    expect((await rows()).map(({ id }) => id).sort()).toEqual([`${buffer}.0.1`, `${buffer}.0.3`, 'sent'].sort());
  });
});

describe('what ends is saved, or does not end', () => {
  test('also where the table has the report of a life with higher numbers than its own', async () => {
    await activities.reportShard({ status: status(), moment: 5_000, forget: [], forgetKeys: null });
    await activities.saveShard({ status: status(), moment: 6_000, forget: [], state: state(6_000) });
    expect(await activities.openShard({ buffer, shard: 0 })).toMatchObject({ told: 6_000 });
    // The same again, where its answer was lost; and with no report before it.
    await activities.saveShard({ status: status(), moment: 6_000, forget: [], state: state(6_000) });
    await stack.sql(`delete from longwatch.buffer_shard where buffer = $1`, [buffer]);
    await activities.saveShard({ status: status(), moment: 6_000, forget: [], state: state(6_000) });
    expect(await activities.openShard({ buffer, shard: 0 })).toMatchObject({ told: 6_000 });
  });

  test('and who comes behind newer news is told that nothing was saved', async () => {
    await activities.reportShard({ status: status(), moment: 7_000, forget: [], forgetKeys: null });
    const late = activities.saveShard({ status: status(), moment: 6_999, forget: [], state: state(6_999) });
    await expect(late).rejects.toMatchObject({ type: 'Fenced' });
  });
});

describe('a shard that begins anew', () => {
  test('goes on above all numbers of the one before, whose entries are put aside', async () => {
    await store([
      row(41, chunk(500, [1, 2], { keys: ['k', 'l'] })),
      row(42, chunk(502, [3], { at: 5 }), { lane: 'later' }),
    ]);
    await activities.buryEntries({ buffer, shard: 0, chunks: [chunk(700, ['dead'])] });
    await activities.reportShard({ status: status({ accepted: 650 }), moment: 9_000, forget: [], forgetKeys: null });
    const [missing] = await activities.findMissingShards({ buffer, shards: 1 });
    expect(missing).toMatchObject({ shard: 0, kept: false, begin: { moment: 9_000, entry: 701 } });
    expect(missing!.begin!.row).toBeGreaterThan(42);
    expect((await rows()).map(({ shard, place }) => [shard, place])).toEqual([
      [null, null],
      [null, null],
    ]);
    expect(await stack.sql(`select * from longwatch.buffer_key where buffer = $1`, [buffer])).toEqual([]);
    // Its first letter is not taken for the one before's, and old put-off rows are not its own.
    const fresh = freshShardState({ options: OPTIONS, paused: false, version: 1 }, null, {
      ...missing!.begin!,
      nowMs: 1_764_000_000_000,
    });
    expect(fresh).toMatchObject({ nextEntry: 701, told: 9_000, nextBatch: 1_764_000_000_000 });
    const later = { buffer, shard: 0, lane: 'later' as const, from: 0, to: fresh.nextRow, dueMs: 1e15, limit: 50 };
    expect((await activities.fetchChunks(later)).chunks).toEqual([]);
  });

  test('not one that runs, is kept, or was never there', async () => {
    expect(await activities.findMissingShards({ buffer, shards: 1 })).toEqual([{ shard: 0, kept: false }]);
    await activities.saveShard({ status: status(), moment: 9_000, forget: [], state: state(9_000) });
    await store([row(1, chunk(1, [1]))]);
    expect(await activities.findMissingShards({ buffer, shards: 1 })).toEqual([{ shard: 0, kept: true }]);
    run = 'running';
    expect(await activities.findMissingShards({ buffer, shards: 1 })).toEqual([]);
    expect((await rows())[0]).toMatchObject({ shard: 0, place: '1' });
  });
});

test('dead letters are dropped by their number, page by page, and the same page again is the same', async () => {
  await stack.sql(
    `insert into longwatch.buffer_dead (buffer, shard, entry, value, error, errors, attempts, state, op)
     select $1, 0, i, to_json(repeat('x', 1000)), '', '[]', 1, 'dropping', 'op' from generate_series(1, 12000) i`,
    [buffer],
  );
  const drop = (page: number) => activities.takeDead({ buffer, shard: 0, op: 'op', action: 'drop', page });
  expect(await drop(0)).toEqual({ count: 10_000, bytes: 0 });
  expect(await drop(0)).toEqual({ count: 10_000, bytes: 0 });
  expect(await drop(1)).toEqual({ count: 2_000, bytes: 0 });
  expect(await drop(2)).toEqual({ count: 0, bytes: 0 });
});

test('letters that come back have the numbers that they had: another of their key that came since is newer', async () => {
  await stack.sql(
    `insert into longwatch.buffer_dead (buffer, shard, entry, value, key, error, errors, attempts, state, op)
     values ($1, 0, 5, '1', 'k', '', '[]', 1, 'retrying', 'op'), ($1, 0, 9, '2', null, '', '[]', 1, 'retrying', 'op')`,
    [buffer],
  );
  const page = await activities.takeDead({ buffer, shard: 0, op: 'op', action: 'retry', page: 0 });
  expect(page).toMatchObject({ count: 2, entries: [1, 2], keys: ['k', null], ages: [5, 9] });
  // Stored as number 20 it is still as old as 5: a note of 8 is newer, and stays.
  await store([
    row(1, chunk(8, ['v2'], { keys: ['k'] })),
    row(2, chunk(20, [1, 2], { keys: ['k', null], ages: [5, 9] })),
  ]);
  expect(await stack.sql(`select entry::int from longwatch.buffer_key where buffer = $1`, [buffer])).toEqual([
    { entry: 8 },
  ]);
});

test("a sender's row does not expire before its shard has been heard of since", async () => {
  const expired = async (): Promise<boolean> => {
    await database.transaction(expireRows);
    return !(await database.transaction((db) => readRows(db, buffer, ['sent']))).has('sent');
  };
  await database.transaction((db) => sendRow(db, { buffer, id: 'sent', entries: [1], json: '[1]' }, 60));
  await stack.sql(`update longwatch.buffer_chunk set expires_at = now() - interval '1 minute' where buffer = $1`, [
    buffer,
  ]);
  await activities.reportShard({ status: status(), moment: 1, forget: [], forgetKeys: null });
  const heard = (when: string) =>
    stack.sql(`update longwatch.buffer_shard set reported_at = now() - $2::interval where buffer = $1`, [buffer, when]);
  // Its workers were away over a weekend: the message that tells of the row has not been read.
  await heard('2 days');
  expect(await expired()).toBe(false);
  await heard('1 second');
  expect(await expired()).toBe(true);
});

test('a shard that cannot be reset is logged, and keeps no other one from being looked after', async () => {
  const errors: unknown[] = [];
  const log = {
    ...pino({ level: 'silent' }),
    error: (about: unknown) => void errors.push(about),
    warn: () => undefined,
  };
  const temporal = {
    lastRun: (id: string) => Promise.resolve({ state: id.endsWith('/0') ? 'forced' : 'missing', runId: 'r' }),
    endOf: () => Promise.reject(new Error('its history is gone')),
  };
  const missing = await reviveShards(database, temporal as never, buffer, [0, 1], log as never);
  expect(missing).toEqual([1]);
  expect(errors).toMatchObject([{ shard: 0, workflow: `shard/${buffer}/0` }]);
});
