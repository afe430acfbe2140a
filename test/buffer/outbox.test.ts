/**
 * Messages that are stored before their shard is told of them, on the real PostgreSQL: each shard is told in the order
 * in which it was given, one that cannot be told keeps no other from it, and what a shard that was ended by force had
 * taken by updates is kept, whoever typed it.
 */
import { pino } from 'pino';
import { BufferFeed, type FedValue } from '../../activities/buffer/feed';
import { catchUp, storeAndNote, tellUntold, type Push } from '../../activities/buffer/outbox';
import { reviveShards } from '../../activities/buffer/revive';
import { Database, type Queryable } from '../../activities/lib/database';
import { defineBuffer } from '../../config/define/buffer';
import { resolveDefinition } from '../../config/resolve/buffer';
import type { PushMessage } from '../../workflows/buffer/contract';
import { Stack } from '../support/stack';
import { OPTIONS } from './options';

const log = pino({ level: 'silent' });
let stack: Stack;
let database: Database;
let buffer = '';
let buffers = 0;
/** The messages that each shard was told, and the shards that cannot be told. */
let told: { shard: number; message: PushMessage }[] = [];
let away = new Set<number>();
const push: Push = (_buffer, shard, message) => {
  if (away.has(shard)) return Promise.reject(new Error('nobody answers'));
  told.push({ shard, message });
  return Promise.resolve();
};

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(async () => {
  told = [];
  away = new Set();
  buffer = `b${++buffers}`;
  await stack.sql('delete from longwatch.buffer_outbox');
  await stack.sql(`insert into longwatch.buffer (name, options) values ($1, $2)`, [buffer, JSON.stringify(OPTIONS)]);
});

const seqs = (): unknown[] => told.map(({ message }) => message.seq);
const untold = async (): Promise<number> =>
  (await stack.sql<{ n: number }>('select count(*)::int as n from longwatch.buffer_outbox'))[0]!.n;

/** A tracker's flush with one value of one key. @returns when its shard has been told, or could not be */
function feedOf(how: Push): (value: number) => Promise<{ told: Promise<void> }> {
  const resolved = resolveDefinition(defineBuffer({ name: buffer, key: 'id', run: () => undefined }), []);
  const feed = new BufferFeed(new Map([[buffer, resolved]]), database, how, log);
  return async (value) => {
    const entry: FedValue = { tracker: 't', operation: 'o', id: 'one', value, fetchedAt: value };
    await database.transaction((db) => feed.store(db, [{ buffer, value: entry, key: 'one' }]));
    return { told: feed.committed() };
  };
}

test('a newer value of a key is not told before an older one that is still on its way', async () => {
  let arrive: (() => void) | undefined;
  const slow: Push = async (...message) => {
    if (message[2].seq === 1) await new Promise<void>((resolve) => (arrive = resolve));
    await push(...message);
  };
  const commit = feedOf(slow);
  const first = await commit(1);
  const second = await commit(2);
  // The second one would be there by now.
  await database.rows({ name: 'a-turn', text: 'select 1' });
  expect(seqs()).toEqual([]);
  arrive!();
  await Promise.all([first.told, second.told]);
  expect([seqs(), await untold()]).toEqual([[1, 2], 0]);
});

test('a newer value of a key is not told before an older one that could not be told', async () => {
  const commit = feedOf(push);
  const flush = async (value: number) => (await commit(value)).told;
  away.add(0);
  await flush(1);
  await flush(2);
  expect([seqs(), await untold()]).toEqual([[], 2]);
  away.clear();
  await flush(3);
  expect([seqs(), await untold()]).toEqual([[1, 2, 3], 0]);
  await flush(4);
  expect([seqs(), await untold()]).toEqual([[1, 2, 3, 4], 0]);
});

test('a newer value of a key is not told before an older one that another node is about to tell', async () => {
  let arrive: (() => void) | undefined;
  const slow: Push = async (...message) => {
    await new Promise<void>((resolve) => (arrive = resolve));
    await push(...message);
  };
  const values = async (): Promise<unknown[]> => {
    const ids = told.map(({ message }) => message.row!.id);
    const kept = await stack.sql<{ id: string; entries: string }>('select id, entries from longwatch.buffer_chunk');
    const of = new Map(kept.map(({ id, entries }) => [id, (JSON.parse(entries) as FedValue[])[0]!.value]));
    return ids.map((id) => of.get(id));
  };
  const first = await feedOf(slow)(1);
  // Its member is another node's by now.
  const second = await feedOf(push)(2);
  await second.told;
  expect(await values()).toEqual([1, 2]);
  arrive!();
  await first.told;
  // Twice said is once taken in: it has the number that it had.
  expect(told[2]!.message).toEqual(told[0]!.message);
  expect(await untold()).toBe(0);
});

test('two of one transaction each are in the order in which they were written, whichever began first', async () => {
  const note = (db: Queryable, seq: number) =>
    storeAndNote(db, { buffer, id: `n.${seq}`, shard: 0, sender: `node ${seq}`, seq: 1, front: null, at: null }, [seq]);
  await database.transaction(async (late) => {
    await late.query({ text: 'select 1', values: [] });
    await database.transaction((early) => note(early, 1));
    await note(late, 2);
  });
  await catchUp({ buffer, shard: 0 }, database, push, log);
  expect(told.map(({ message }) => message.row!.id)).toEqual(['n.1', 'n.2']);
});

test('a shard that cannot be told keeps no other one from it, of its buffer or of another', async () => {
  const note = (shard: number, seq: number) =>
    database.transaction((db) =>
      storeAndNote(db, { buffer, id: `${shard}.${seq}`, shard, sender: 's', seq, front: null, at: null }, [seq]),
    );
  for (let seq = 1; seq <= 205; seq++) await note(0, seq);
  for (let seq = 1; seq <= 5; seq++) await note(1, seq);
  await stack.sql(`update longwatch.buffer_outbox set made_at = now() - interval '1 minute' * (2 - shard)`);
  away.add(0);
  await tellUntold(database, push, log);
  expect(told.map(({ shard, message }) => [shard, message.seq])).toEqual([1, 2, 3, 4, 5].map((seq) => [1, seq]));
  away.clear();
  told = [];
  await tellUntold(database, push, log);
  await tellUntold(database, push, log);
  expect(seqs()).toEqual(Array.from({ length: 205 }, (_, i) => i + 1));
  expect(await untold()).toBe(0);
});

test('what updates had brought to a shard that was ended by force is kept, whatever was typed', async () => {
  const args = [
    [
      { n: 1 },
      [2, 3],
      { entries: [4], sender: 'nul\u0000', seq: 3e9, bytes: 5e9 },
      { entries: [5], sender: 'half\ud800', seq: 0, bytes: 1.5 },
      { entries: [6], sender: 's', seq: 1, bytes: -1, at: 'soon' },
    ],
  ];
  const update = { id: 'u', name: 'push', args, result: { accepted: true } };
  const temporal = {
    lastRun: () => Promise.resolve({ state: 'forced', runId: 'r' }),
    endOf: () => Promise.resolve({ updates: [update, { ...update, id: 'odd', args: [{ n: 9 }] }] }),
    reset: () => Promise.resolve(true),
    push,
  };
  await reviveShards(database, temporal as never, buffer, [0], log);
  const ids = told.map(({ message }) => message.row!.id);
  const kept = await stack.sql<{ id: string; entries: string }>(
    `select id, entries from longwatch.buffer_chunk where buffer = $1`,
    [buffer],
  );
  const entries = new Map(kept.map((row) => [row.id, JSON.parse(row.entries) as unknown[]]));
  expect(ids.flatMap((id) => entries.get(id))).toEqual([{ n: 1 }, 2, 3, 4, 5, 6]);
  expect(await untold()).toBe(0);
});
