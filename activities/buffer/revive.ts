/**
 * A shard that was ended by force (terminated in the Temporal UI, say) goes on where it was: what it held is in its closed run's history, and
 * the server makes a new run of it, with the signals that came last. Called by the patrol, and by a parent before it starts
 * shards (`commands.ts`): a shard that is started anew would know nothing of it.
 */
import type { Logger } from 'pino';
import { shardWorkflowId } from '../../workflows/buffer/contract';
import { run, type Database, type Statement } from '../store/database';
import type { TemporalLink } from '../temporal';

/** One at a time: two resets of the same run would be two runs of it. */
const LOCK: Statement = {
  name: 'revive-lock',
  text: `select pg_advisory_xact_lock(hashtext('longwatch revive'), hashtext($1))`,
};

/** @returns those that have no run and none to go on from: never started, or ended by themselves when their buffer was stopped */
export async function reviveShards(
  database: Database,
  temporal: TemporalLink,
  buffer: string,
  shards: readonly number[],
  log: Logger,
): Promise<number[]> {
  const missing: number[] = [];
  for (const shard of shards) {
    const id = shardWorkflowId(buffer, shard);
    const { state } = await temporal.lastRun(id);
    if (state === 'missing') missing.push(shard);
    if (state !== 'forced') continue;
    await database.transaction(async (db) => {
      await run(db, LOCK, [id]);
      if (await temporal.reset(id)) log.warn({ buffer, shard }, 'a shard was ended by force; it goes on where it was');
    });
  }
  return missing;
}
