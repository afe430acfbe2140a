/**
 * What the parent and the shards of a buffer have written: its row, what shards report, chunks to and from PostgreSQL, dead
 * letters. Called by `workflows/buffer`; the statements are in `store/buffers.ts`, `store/chunks.ts` and `store/dead.ts`.
 */
import type { Json } from '../../workflows/buffer/contract';
import type { BufferActivities, BufferOpening, DeadPage, MissingShard } from '../../workflows/buffer/activities';
import type { Chunk } from '../../workflows/buffer/state';
import { shardCount } from '../../workflows/buffer/init';
import { bufferChangeProblems } from '../../workflows/buffer/options';
import { ErrorType } from '../../workflows/lib/errors';
import { randomUUID } from 'node:crypto';
import { failure } from '../failures';
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
} from '../store/buffers';
import { fetchRows, forgetKeys, forgetRows, readRows, sendRow, storeRows } from '../store/chunks';
import type { Queryable } from '../store/database';
import { bury, takePage, type DeadLetter } from '../store/dead';
import type { BufferDeps } from './batch';
import { reviveShards } from './revive';

/** Dead letters that come back in one page: by themselves up to `BYTES`, larger ones by reference. */
const PAGE_ENTRIES = 2_000;
const PAGE_BYTES = 200_000;
const BYTES = 256 * 1024;

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
    return missing.map((shard) => ({ shard, kept: kept.includes(shard) }));
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

    storeChunks: ({ buffer, shard, rows, keyed }) =>
      database.transaction((db) => storeRows(db, buffer, shard, rows, keyed)),

    fetchChunks: (input) => database.transaction((db) => fetchRows(db, input)),

    buryEntries: ({ buffer, shard, chunks }) =>
      database.transaction(async (db) => {
        for (const letters of await lettersOf(db, buffer, chunks)) await bury(db, buffer, shard, letters);
      }),

    takeDead: ({ buffer, shard, op, action, page }) =>
      database.transaction(async (db): Promise<DeadPage> => {
        const limit = action === 'drop' ? 100_000 : PAGE_ENTRIES;
        const bytes = action === 'drop' ? Number.MAX_SAFE_INTEGER : PAGE_BYTES;
        const taken = await takePage(db, { buffer, shard, op, page, limit, bytes });
        if (action === 'drop') return { count: taken.length, bytes: 0 };
        const entries = taken.map(({ value }) => value);
        const json = JSON.stringify(entries);
        const keyed = taken.some(({ key }) => key !== null);
        const keys = keyed ? taken.map(({ key }) => key) : undefined;
        const loose = { count: taken.length, bytes: json.length };
        if (json.length <= BYTES) return { ...loose, entries, ...(keys ? { keys } : {}) };
        const id = `${buffer}.${shard}.d.${randomUUID()}`;
        await sendRow(db, { buffer, id, entries, json, keys }, 86_400);
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

/** The entries of chunks with their errors, in statements of a bearable size. */
async function lettersOf(db: Queryable, buffer: string, chunks: Chunk[]): Promise<DeadLetter[][]> {
  const rows = await readRows(
    db,
    buffer,
    chunks.flatMap((chunk) => (chunk.row === undefined ? [] : [chunk.row])),
  );
  const letters = chunks.flatMap((chunk) => {
    const row = chunk.row === undefined ? undefined : rows.get(chunk.row);
    const at = (i: number): Json => (chunk.entries ? chunk.entries[i] : row?.entries[(chunk.from ?? 0) + i]) ?? null;
    const key = (i: number) => (chunk.keys ? chunk.keys[i] : row?.keys?.[(chunk.from ?? 0) + i]) ?? null;
    return Array.from({ length: chunk.count }, (_, i) => ({
      entry: chunk.first + i,
      value: at(i),
      key: key(i),
      errors: chunk.errors ?? [],
      attempts: chunk.attempts ?? 0,
    }));
  });
  const groups: DeadLetter[][] = [];
  for (let from = 0; from < letters.length; from += 1_000) groups.push(letters.slice(from, from + 1_000));
  return groups;
}

async function known(db: Queryable, name: string): Promise<BufferRow> {
  const row = await readBuffer(db, name);
  if (!row) throw failure(ErrorType.UnknownBuffer, `there is no buffer ${name} in the database`);
  return row;
}
