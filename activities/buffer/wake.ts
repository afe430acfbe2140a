/**
 * A buffer's part of the patrol (`patrol.ts`): its parent and shards run unless it is stopped, and rows whose sender
 * never told of them are deleted in time. A shard that was ended by force goes on with what it held (`revive.ts`).
 */
import type { Logger } from 'pino';
import { bufferWorkflowId, shardWorkflowId, type BufferRunState } from '../../workflows/buffer/contract';
import { shardCount } from '../../workflows/buffer/init';
import type { BufferOptions } from '../../workflows/buffer/options';
import { errorOf } from '../lib/failures';
import { keptShards } from './store/buffers';
import { expireRows } from './store/chunks';
import type { Database, Statement } from '../lib/database';
import type { TemporalLink } from '../lib/temporal';
import { tellUntold } from './outbox';
import { reviveShards } from './revive';

/** With the number of shards that it has ever had. */
const BUFFERS: Statement = {
  name: 'wake-buffers',
  text: `select name, state, options,
                (select coalesce(max(shard) + 1, 0)::int from longwatch.buffer_shard s where s.buffer = b.name) as shards
         from longwatch.buffer b`,
};

interface Row {
  [column: string]: unknown;
  name: string;
  state: BufferRunState;
  options: BufferOptions;
  shards: number;
}

export async function wakeMissingBuffers(
  database: Database,
  temporal: TemporalLink,
  running: ReadonlySet<string>,
  log: Logger,
): Promise<void> {
  for (const row of await database.rows<Row>(BUFFERS)) {
    try {
      await wakeBuffer(database, temporal, running, row, log);
    } catch (thrown) {
      // The others are looked after all the same.
      log.error({ err: errorOf(thrown), buffer: row.name }, 'a buffer could not be looked after; it is tried again');
    }
  }
  await tellUntold(database, (buffer, shard, message) => temporal.push(buffer, shard, message), log);
  await database.transaction(expireRows);
}

async function wakeBuffer(
  database: Database,
  temporal: TemporalLink,
  running: ReadonlySet<string>,
  { name, state, options, shards: known }: Row,
  log: Logger,
): Promise<void> {
  const shards = Array.from({ length: shardCount(options, known) }, (_, shard) => shard);
  const missing = shards.filter((shard) => !running.has(shardWorkflowId(name, shard)));
  if (state === 'stopped') {
    // One that was ended by force before all of it was kept goes on, and ends.
    const kept = await database.transaction((db) => keptShards(db, name));
    const unkept = missing.filter((shard) => !kept.includes(shard));
    const gone = unkept.length === 0 ? [] : await reviveShards(database, temporal, name, unkept, log);
    // Shards with batches under way end after them; one that was not told is told so.
    if (missing.length < shards.length || gone.length < unkept.length) await temporal.wakeBuffer(name);
    return;
  }
  if (missing.length === 0 && running.has(bufferWorkflowId(name))) return;
  log.warn({ buffer: name, shards: missing }, 'the buffer had workflows that did not run; they are started');
  await reviveShards(database, temporal, name, missing, log);
  await temporal.wakeBuffer(name);
}
