/**
 * Writes for the parent and the shards of a buffer: its row, what shards report, chunks to and from PostgreSQL,
 * dead letters. Called by `workflows/buffer`; the statements are in `store/buffers.ts`, `store/chunks.ts` and
 * `store/dead.ts`.
 */
import type { BufferActivities, BufferOpening, DeadPage, MissingShard } from '../../workflows/buffer/activities';
import { shardCount } from '../../workflows/buffer/init';
import { bufferChangeProblems } from '../../workflows/buffer/options';
import { ErrorType } from '../../workflows/lib/errors';
import { utf8Bytes } from '../../workflows/lib/size';
import { randomUUID } from 'node:crypto';
import { failure } from '../lib/failures';
import {
  type BufferRow,
  keptShards,
  lastPage,
  noteReport,
  readBuffer,
  savedShard,
  saveShard,
  setBufferState,
  storeBuffer,
  storeBufferChanges,
} from './store/buffers';
import { fetchRows, forgetKeys, forgetRows, ORPHAN_SECONDS, sendRow } from './store/chunks';
import type { Queryable } from '../lib/database';
import { dropPage, takePage } from './store/dead';
import type { BufferDeps } from './batch';
import { beginAnew } from './begin';
import { buryChunks } from './dead';
import { reviveShards } from './revive';
import { storeChunks } from './store';

/** Dead letters that come back in one page: by themselves up to `BYTES`, larger ones by reference. */
const PAGE_ENTRIES = 2_000;
const PAGE_BYTES = 200_000;
const BYTES = 256 * 1024;
/** Whether PostgreSQL answers. */
const ASK = { name: 'buffer-ask', text: 'select 1' };
/** Dropped in one statement. */
const DROP_ENTRIES = 10_000;

export function bufferCommands({
  database,
  temporal,
  log,
}: BufferDeps): Pick<
  BufferActivities,
  | 'openBuffer'
  | 'findMissingShards'
  | 'setBufferState'
  | 'declareBuffer'
  | 'setBufferOptions'
  | 'askStore'
  | 'storeChunks'
  | 'fetchChunks'
  | 'buryEntries'
  | 'takeDead'
  | 'reportShard'
  | 'saveShard'
  | 'openShard'
> {
  const missingOf = async (buffer: string, shards: number): Promise<MissingShard[]> => {
    const all = Array.from({ length: shards }, (_, shard) => shard);
    const missing = await reviveShards(database, temporal, buffer, all, log);
    // Looked up after that: one that was still about to end has kept its state by then.
    const kept = missing.length === 0 ? [] : await database.transaction((db) => keptShards(db, buffer));
    return Promise.all(
      missing.map(async (shard) => {
        if (kept.includes(shard)) return { shard, kept: true };
        const begin = await beginAnew(database, temporal, buffer, shard, log);
        return { shard, kept: false, ...(begin ? { begin } : {}) };
      }),
    );
  };

  return {
    openBuffer: async ({ buffer, options, shards: atLeast }) => {
      const opening = await database.transaction(async (db): Promise<BufferOpening> => {
        if (options) await storeBuffer(db, buffer, options);
        let row = await known(db, buffer);
        if (options && row.state === 'stopped') {
          await setBufferState(db, buffer, 'running');
          row = await known(db, buffer);
        }
        const { state, version, shards } = row;
        return {
          state,
          version,
          shards,
          options: row.options,
          userState: row.options.state,
          lastPage: await lastPage(db, buffer),
        };
      });
      if (atLeast === undefined || opening.state === 'stopped') return opening;
      const shards = shardCount(opening.options, atLeast, opening.shards ?? 0);
      return { ...opening, missing: await missingOf(buffer, shards) };
    },

    findMissingShards: ({ buffer, shards }) => missingOf(buffer, shards),

    setBufferState: ({ buffer, state }) =>
      database.transaction(async (db) => {
        await known(db, buffer);
        return { state, changed: await setBufferState(db, buffer, state) };
      }),

    declareBuffer: ({ buffer, options }) =>
      database.transaction(async (db) => {
        await known(db, buffer);
        const changed = await storeBuffer(db, buffer, options);
        const now = await known(db, buffer);
        return { changed, version: now.version, options: now.options };
      }),

    setBufferOptions: ({ buffer, changes }) =>
      database.transaction(async (db) => {
        const row = await known(db, buffer);
        const problems = changes.flatMap((change) => bufferChangeProblems(row.options, change));
        if (problems.length > 0) throw failure(ErrorType.BadOption, problems.join('; '));
        const changed = await storeBufferChanges(db, buffer, changes);
        const now = await known(db, buffer);
        return { changed, version: now.version, options: now.options };
      }),

    askStore: async () => void (await database.rows(ASK)),

    storeChunks: (input) => storeChunks(database, input, log),

    fetchChunks: (input) => database.transaction((db) => fetchRows(db, input)),

    buryEntries: ({ buffer, shard, chunks }) => buryChunks(database, buffer, shard, chunks),

    takeDead: ({ buffer, shard, op, action, page }) =>
      database.transaction(async (db): Promise<DeadPage> => {
        const order = { buffer, shard, op, page };
        if (action === 'drop') return { count: await dropPage(db, { ...order, limit: DROP_ENTRIES }), bytes: 0 };
        const taken = await takePage(db, { ...order, limit: PAGE_ENTRIES, bytes: PAGE_BYTES });
        const entries = taken.map(({ value }) => value);
        const json = JSON.stringify(entries);
        const keyed = taken.some(({ key }) => key !== null);
        const keys = keyed ? taken.map(({ key }) => key) : undefined;
        const bytes = utf8Bytes(json);
        const loose = {
          count: taken.length,
          bytes,
          ...(keys ? { keys, ages: taken.map(({ entry }) => entry) } : {}),
        };
        if (bytes <= BYTES) return { ...loose, entries };
        const id = `${buffer}.${shard}.d.${randomUUID()}`;
        await sendRow(db, { buffer, id, entries, json, keys }, ORPHAN_SECONDS);
        return { ...loose, row: id };
      }),

    reportShard: ({ status, moment, forget, forgetKeys: upTo }) =>
      database.transaction(async (db) => {
        await forgetRows(db, status.buffer, forget);
        if (upTo !== null) await forgetKeys(db, status.buffer, status.shard, upTo);
        await noteReport(db, status, moment);
      }),

    saveShard: ({ status, moment, forget, state }) =>
      database.transaction(async (db) => {
        await forgetRows(db, status.buffer, forget);
        await saveShard(db, status, moment, state);
      }),

    openShard: ({ buffer, shard }) => database.transaction((db) => savedShard(db, buffer, shard)),
  };
}

async function known(db: Queryable, name: string): Promise<BufferRow> {
  const row = await readBuffer(db, name);
  if (!row) throw failure(ErrorType.UnknownBuffer, `there is no buffer ${name} in the database`);
  return row;
}
