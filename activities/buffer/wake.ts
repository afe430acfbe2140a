/**
 * A buffer's part of the patrol (`patrol.ts`): its parent and shards run, and rows whose sender never told of them are
 * deleted in time. What a shard held in memory when it was terminated by hand is gone with it; nothing else ends one.
 */
import type { Logger } from 'pino';
import { bufferWorkflowId, shardWorkflowId } from '../../workflows/buffer/contract';
import { shardsOf } from '../../workflows/buffer/init';
import type { BufferOptions } from '../../workflows/buffer/options';
import { expireRows } from '../store/chunks';
import type { Database, Statement } from '../store/database';
import type { TemporalLink } from '../temporal';
import { tellUntold } from './feed';

const BUFFERS: Statement = { name: 'wake-buffers', text: `select name, options from longwatch.buffer` };

export async function wakeMissingBuffers(
  database: Database,
  temporal: TemporalLink,
  running: ReadonlySet<string>,
  log: Logger,
): Promise<void> {
  for (const { name, options } of await database.rows<{ name: string; options: BufferOptions }>(BUFFERS)) {
    const shards = Array.from({ length: shardsOf(options) }, (_, shard) => shardWorkflowId(name, shard));
    const missing = [bufferWorkflowId(name), ...shards].filter((id) => !running.has(id));
    if (missing.length === 0) continue;
    log.warn({ buffer: name, missing }, 'the buffer had workflows that did not run; they are started');
    await temporal.wakeBuffer(name);
  }
  await tellUntold(database, (buffer, shard, message) => temporal.push(buffer, shard, message), log);
  await database.transaction(expireRows);
}
