/**
 * Writes for the parent of a buffer: its row, by the word of an operator, and which of its shards are missing. Called
 * by `workflows/buffer`; the statements are in `store/buffers.ts`.
 */
import type { BufferActivities, BufferOpening, MissingShard } from '../../workflows/buffer/activities';
import type { BufferCommandResult, BufferRunState } from '../../workflows/buffer/contract';
import { shardCount } from '../../workflows/buffer/init';
import { bufferChangeProblems, type BufferOptions } from '../../workflows/buffer/options';
import { ErrorType } from '../../workflows/lib/errors';
import type { OptionChange } from '../../workflows/lib/options';
import type { Database, Queryable } from '../lib/database';
import { failure } from '../lib/failures';
import type { BufferDeps } from './batch';
import { beginAnew } from './begin';
import { reviveShards } from './revive';
import {
  keptShards,
  lastPage,
  readBuffer,
  setBufferState as writeState,
  storeBuffer,
  storeBufferChanges,
  type BufferRow,
} from './store/buffers';

type Deps = Pick<BufferDeps, 'database' | 'temporal' | 'log'>;
type OptionsResult = Awaited<ReturnType<BufferActivities['setBufferOptions']>>;

/** With options: the buffer was just started, so its row is made or taken up. With `shards`: those missing are told. */
export async function openBuffer(
  deps: Deps,
  { buffer, options, shards: atLeast }: { buffer: string; options?: BufferOptions; shards?: number },
): Promise<BufferOpening> {
  const opening = await deps.database.transaction((db) => openRow(db, buffer, options));
  if (atLeast === undefined || opening.state === 'stopped') return opening;
  const shards = shardCount(opening.options, atLeast, opening.shards ?? 0);
  return { ...opening, missing: await findMissingShards(deps, { buffer, shards }) };
}

async function openRow(db: Queryable, buffer: string, options?: BufferOptions): Promise<BufferOpening> {
  if (options) {
    await storeBuffer(db, buffer, options);
    if ((await known(db, buffer)).state === 'stopped') await writeState(db, buffer, 'running');
  }
  const row = await known(db, buffer);
  return {
    state: row.state,
    version: row.version,
    shards: row.shards,
    options: row.options,
    userState: row.options.state,
    lastPage: await lastPage(db, buffer),
  };
}

export async function findMissingShards(
  { database, temporal, log }: Deps,
  { buffer, shards }: { buffer: string; shards: number },
): Promise<MissingShard[]> {
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
}

export function setBufferState(
  database: Database,
  { buffer, state }: { buffer: string; state: BufferRunState },
): Promise<BufferCommandResult> {
  return database.transaction(async (db) => {
    await known(db, buffer);
    return { state, changed: await writeState(db, buffer, state) };
  });
}

export function declareBuffer(
  database: Database,
  { buffer, options }: { buffer: string; options: BufferOptions },
): Promise<OptionsResult> {
  return database.transaction(async (db) => {
    await known(db, buffer);
    return optionsAfter(db, buffer, await storeBuffer(db, buffer, options));
  });
}

export function setBufferOptions(
  database: Database,
  { buffer, changes, expects }: { buffer: string; changes: OptionChange[]; expects?: number },
): Promise<OptionsResult> {
  return database.transaction(async (db) => {
    const row = await known(db, buffer);
    const problems = changes.flatMap((change) => bufferChangeProblems(row.options, change));
    if (problems.length > 0) throw failure(ErrorType.BadOption, problems.join('; '));
    return optionsAfter(db, buffer, await storeBufferChanges(db, buffer, changes, expects));
  });
}

async function optionsAfter(db: Queryable, buffer: string, changed: boolean): Promise<OptionsResult> {
  const { version, options } = await known(db, buffer);
  return { changed, version, options };
}

async function known(db: Queryable, name: string): Promise<BufferRow> {
  const row = await readBuffer(db, name);
  if (!row) throw failure(ErrorType.UnknownBuffer, `there is no buffer ${name} in the database`);
  return row;
}
