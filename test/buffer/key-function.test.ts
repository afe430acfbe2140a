/**
 * A buffer's `key` is the user's code, which may throw: what `init` found and what `run` answered go on without a key,
 * and somebody is told. And what `init` finds again of what is put off in PostgreSQL, on the real one.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { runBatch, type BufferDeps } from '../../activities/buffer/batch';
import { readInitPage } from '../../activities/buffer/init';
import { fetchRows, storeRows } from '../../activities/buffer/store/chunks';
import { Database } from '../../activities/lib/database';
import { defineBuffer, retry, type AnyBuffer } from '../../config/define/buffer';
import type { BatchResult } from '../../workflows/buffer/activities';
import type { PushMessage } from '../../workflows/buffer/contract';
import { Stack } from '../support/stack';
import { OPTIONS } from './options';
import type { Json } from '../../workflows/lib/json';

const log = pino({ level: 'silent' });
let stack: Stack;
let database: Database;
let buffer = '';
let buffers = 0;
let ran: Json[][] = [];
let told: string[] = [];
let counted = 0;
let pushed: { shard: number; message: PushMessage }[] = [];

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(async () => {
  [ran, told, counted, pushed] = [[], [], 0, []];
  buffer = `b${++buffers}`;
  await stack.sql(`insert into longwatch.buffer (name, options) values ($1, $2)`, [buffer, JSON.stringify(OPTIONS)]);
});

type Entry = { id: string | null; v?: number };
/** It throws where an entry has no id. */
const key = ({ id }: Entry): string => id!.toUpperCase();
const onError = (error: Error, { shard, batch, entries }: { shard: number; batch: string; entries: number }) =>
  void told.push(`${batch} in ${shard}, ${entries}: ${error.name}`);

function depsOf(definition: unknown): BufferDeps {
  const push = (_: string, shard: number, message: PushMessage) =>
    Promise.resolve(void pushed.push({ shard, message }));
  return {
    node: 'n',
    database,
    temporal: { push },
    definitions: new Map([[buffer, definition as AnyBuffer]]),
    metrics: { ended: () => undefined, keysFailed: (_: string, entries: number) => void (counted += entries) },
    log,
  } as unknown as BufferDeps;
}

function batch(entries: Entry[], answer: (given: Entry[]) => unknown): Promise<BatchResult> {
  const run = (given: Entry[]) => {
    ran.push([...given]);
    return answer(given) as never;
  };
  const input = {
    buffer,
    shard: 0,
    batch: 1,
    chunks: [{ first: 1, count: entries.length, bytes: 5, entries, since: 0 }],
    count: entries.length,
    state: null,
    checkKeys: false,
    timeoutMs: 60_000,
    forget: [],
  };
  const deps = depsOf(defineBuffer({ name: buffer, key, run, onError }));
  return new MockActivityEnvironment().run(() => runBatch(deps, input));
}

function page(found: unknown[], shards = 1, pages = 1) {
  const init = () => ({ entries: found as Entry[] });
  const deps = depsOf(defineBuffer({ name: buffer, key, init, run: (_: Entry[]) => undefined, onError }));
  const seqs = Array.from({ length: shards }, () => pages);
  const input = { buffer, pass: 0, page: pages - 1, cursor: null, shards, seqs, limit: 10 };
  return new MockActivityEnvironment().run(() => readInitPage(deps, input));
}

describe('a key function that throws', () => {
  test('for a new entry of an answer, or a changed one: the batch has succeeded all the same', async () => {
    const answer = ([one]: Entry[]) => {
      one!.id = null;
      return retry([one!, { id: null, v: 2 }, { id: 'c' }]);
    };
    const { outcome } = await batch([{ id: 'a' }, { id: 'b' }], answer);
    expect(outcome).toMatchObject({
      kind: 'answered',
      kept: [{ from: 0, count: 1, keys: [null] }],
      fresh: [{ count: 2, keys: [null, 'C'] }],
    });
    expect(ran).toHaveLength(1);
    expect([told, counted]).toEqual([[`${buffer}/0/1 in 0, 2: TypeError`], 2]);
  });

  test('for an entry that lies in the batch already: what it answers is read all the same', async () => {
    const { outcome } = await batch([{ id: null }, { id: 'b' }], ([one]) => retry([one!]));
    expect(outcome).toMatchObject({ kind: 'answered', kept: [{ from: 0, count: 1 }], fresh: [] });
    expect(counted).toBe(1);
  });

  test('for an entry of init: the page goes on, that entry without a key', async () => {
    const read = await page([{ id: 'a' }, { id: null }, { id: 'b' }]);
    expect(read).toMatchObject({ entries: 3, last: true });
    expect(pushed).toMatchObject([{ shard: 0, message: { entries: { length: 3 }, keys: ['A', null, 'B'] } }]);
    expect([told, counted]).toEqual([[`${buffer}/init/0.0 in 0, 1: TypeError`], 1]);
    // The page again is the one that was noted.
    await page([]);
    expect(pushed[1]).toEqual(pushed[0]);
  });
});

describe('what init finds again', () => {
  const hour = 3_600_000;
  const put = (first: number, keys: string[], at: number) =>
    database.transaction((db) =>
      storeRows(
        db,
        buffer,
        0,
        [
          {
            id: `${buffer}.0.${first}`,
            number: first,
            lane: 'later',
            place: first,
            chunk: { first, count: keys.length, bytes: 9, entries: keys, keys, since: 0, at },
          },
        ],
        { keyed: true, moment: first },
      ),
    );
  const sent = () => pushed.flatMap(({ message }) => message.keys ?? []);

  test('is left where it lies put off, until its time; what is due, or has a newer value, is sent', async () => {
    const now = Date.now();
    await put(10, ['A', 'B'], now + hour);
    await put(20, ['C'], now - 1);
    await put(30, ['D'], now + hour);
    // A newer value of D came since, and was handled.
    await stack.sql(`update longwatch.buffer_key set entry = 77 where buffer = $1 and key = 'D'`, [buffer]);
    const read = await page(['a', 'b', 'c', 'd', 'e'].map((id) => ({ id })));
    expect(sent()).toEqual(['C', 'D', 'E']);
    expect(read).toMatchObject({ entries: 3, chunks: [{ count: 3 }] });
    // A pass that finds nothing else is an empty one, so that the next one is not asked for at once.
    expect(await page([{ id: 'a' }], 1, 2)).toMatchObject({ entries: 0, chunks: [], last: true });
  });

  test('is sent when the row was fetched: it is not put off any more', async () => {
    const at = Date.now() + 1_500;
    await put(10, ['A'], at);
    const input = { buffer, shard: 0, lane: 'later' as const, from: 0, to: 99, dueMs: at, limit: 10 };
    expect((await database.transaction((db) => fetchRows(db, input))).chunks).toHaveLength(1);
    await page([{ id: 'a' }]);
    expect(sent()).toEqual(['A']);
  });
});
