/**
 * A batch when PostgreSQL does not do its part, on the real one: it waits, no entry is blamed, no attempt is used, and
 * what `run` has done once is not done again because its answer could not be stored at once.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { pino } from 'pino';
import { runBatch, type BufferDeps } from '../../activities/buffer/batch';
import { storeChunks } from '../../activities/buffer/store';
import { sendRow } from '../../activities/buffer/store/chunks';
import { Database } from '../../activities/lib/database';
import { defineBuffer, retry } from '../../config/define/buffer';
import type { BatchInput, BatchResult } from '../../workflows/buffer/activities';
import { Stack } from '../support/stack';
import { OPTIONS } from './options';
import type { Json } from '../../workflows/lib/json';

const log = pino({ level: 'silent' });
const BUFFER = 'b';
let stack: Stack;
let database: Database;
const closing: (() => Promise<unknown>)[] = [];
let ran: Json[][] = [];

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
  await stack.sql(`insert into longwatch.buffer (name, options) values ($1, $2)`, [BUFFER, JSON.stringify(OPTIONS)]);
  await database.transaction((db) =>
    sendRow(db, { buffer: BUFFER, id: 'r', entries: [1, 2], json: '[1,2]', keys: ['k', 'l'] }, null),
  );
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(() => (ran = []));
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A primary of yesterday behind a proxy: it takes connections, and nothing that writes. */
function readOnly(): Database {
  const url = new URL(stack.servers.databaseUrl);
  url.searchParams.set('options', '-c default_transaction_read_only=on');
  const one = new Database({ url: url.href, log });
  closing.push(() => one.close());
  return one;
}

/** Its statements meet a lock that nobody lets go of, and are cancelled. */
async function locked(): Promise<Database> {
  const client = new Client({ connectionString: stack.servers.databaseUrl });
  await client.connect();
  await client.query('begin');
  await client.query('lock table longwatch.buffer_chunk, longwatch.buffer_fence in access exclusive mode');
  const one = new Database({ url: stack.servers.databaseUrl, log, statementTimeoutMs: 200 });
  closing.push(
    () => client.end(),
    () => one.close(),
  );
  return one;
}

const big = 'x'.repeat(200_000);
function batch(on: Pick<Database, 'transaction' | 'rows'>, more: Partial<BatchInput> = {}): Promise<BatchResult> {
  const run = (entries: never[]) => {
    ran.push([...entries]);
    // Too much for the result itself: it is stored.
    return retry([{ big }] as never[]);
  };
  const definition = defineBuffer({ name: BUFFER, key: 'id', run });
  const deps = {
    node: 'n',
    database: on,
    definitions: new Map([[BUFFER, definition]]),
    metrics: { ended: () => undefined },
    log,
  } as unknown as BufferDeps;
  const chunks = [{ first: 1, count: 2, bytes: 5, row: 'r', from: 0, since: 0 }];
  const input: BatchInput = {
    buffer: BUFFER,
    shard: 0,
    batch: 1,
    chunks,
    count: 2,
    state: null,
    checkKeys: true,
    timeoutMs: 60_000,
    forget: ['gone already'],
    ...more,
  };
  return new MockActivityEnvironment().run(() => runBatch(deps, input));
}

const waits = { outcome: { kind: 'held', store: true } };
const row = {
  id: 'b.0.1',
  number: 1,
  lane: 'back',
  place: 1,
  chunk: { first: 1, count: 1, bytes: 3, entries: [1], since: 0 },
} as const;
const store = (on: Database) =>
  storeChunks(
    on,
    { buffer: BUFFER, shard: 0, rows: [{ ...row, chunk: { ...row.chunk, entries: [1] } }], keyed: true, moment: 1 },
    log,
  );

test('a database that only reads (25006): the batch waits without having run, and no row is refused', async () => {
  const on = readOnly();
  expect(await batch(on)).toMatchObject(waits);
  expect(ran).toEqual([]);
  await expect(store(on)).rejects.toThrow(/read-only/);
});

test('statements that are cancelled (57014): the batch waits without having run, and no row is refused', async () => {
  const on = await locked();
  expect(await batch(on)).toMatchObject(waits);
  expect(ran).toEqual([]);
  await expect(store(on)).rejects.toThrow(/statement timeout/);
});

test.each(['25006', '57014', '40001', '08006'])(
  'an answer that is not taken at once (%s) is stored, run once',
  async (code) => {
    let refused = 0;
    const on = {
      rows: database.rows.bind(database),
      transaction: ((work, options) =>
        ran.length > 0 && refused++ < 2
          ? Promise.reject(Object.assign(new Error('not now'), { code }))
          : database.transaction(work, options)) as Database['transaction'],
    };
    const { outcome } = await batch(on);
    expect([ran, refused]).toEqual([[[1, 2]], 3]);
    const { fresh } = outcome as Extract<typeof outcome, { kind: 'answered' }>;
    expect(outcome.kind).toBe('answered');
    const stored = await stack.sql<{ entries: string }>(`select entries from longwatch.buffer_chunk where id = $1`, [
      fresh[0]!.row,
    ]);
    expect(JSON.parse(stored[0]!.entries)).toEqual([{ big }]);
  },
);
