/**
 * A shard that was ended by force (terminated in the Temporal UI, say) goes on where it was: what it held is in its
 * closed run's history, and the server makes a new run of it, with the signals that came last. Entries that came last
 * by updates are stored first, and the new run is told of it. Called by the patrol, and by a parent before it starts
 * shards (`commands.ts`): a shard that is started anew would know nothing.
 */
import type { Logger } from 'pino';
import { pushUpdate, shardWorkflowId, type PushAnswer, type PushPayload } from '../../workflows/buffer/contract';
import { readPush } from '../../workflows/buffer/intake';
import { keepableKey } from '../../workflows/buffer/keys';
import type { AcceptedUpdate } from '../lib/closed-run';
import { errorOf } from '../lib/failures';
import { run, type Database, type Queryable, type Statement } from '../lib/database';
import type { TemporalLink } from '../lib/temporal';
import { note, storeAndNote, tell, type Note } from './outbox';

/** One at a time: two resets of the same run would be two runs of it. */
const LOCK: Statement = {
  name: 'revive-lock',
  text: `select pg_advisory_xact_lock(hashtext('longwatch revive'), hashtext($1))`,
};

/**
 * @returns those that have no run and none to go on from: never started, or ended by themselves when their buffer was
 *   stopped
 */
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
    const last = await temporal.lastRun(id);
    if (last.state === 'missing') missing.push(shard);
    if (last.state !== 'forced') continue;
    try {
      await reviveShard(database, temporal, buffer, shard, last.runId, log);
    } catch (thrown) {
      // One that cannot be mended must not keep the others from it, nor its buffer from opening, pausing or stopping.
      log.error(
        { err: errorOf(thrown), buffer, shard, workflow: id },
        'a shard was ended by force and could not be reset; it is tried again. What it holds is in its history: see the Temporal UI',
      );
    }
  }
  return missing;
}

async function reviveShard(
  database: Database,
  temporal: TemporalLink,
  buffer: string,
  shard: number,
  runId: string,
  log: Logger,
): Promise<void> {
  const id = shardWorkflowId(buffer, shard);
  const end = await temporal.endOf(id, runId);
  // Committed before the reset, whatever becomes of it: after it, nothing else would know of them.
  const notes = await database.transaction((db) => keepPushed(db, buffer, shard, end.updates));
  await database.transaction(async (db) => {
    await run(db, LOCK, [id]);
    if (await temporal.reset(id, end))
      log.warn({ buffer, shard }, 'a shard was ended by force; it goes on where it was');
  });
  await tell(notes, database, (...push) => temporal.push(...push), log);
}

/** Notes the messages of updates that were answered with 'accepted', in the outbox. */
async function keepPushed(
  db: Queryable,
  buffer: string,
  shard: number,
  updates: readonly AcceptedUpdate[],
): Promise<Note[]> {
  const notes: Note[] = [];
  for (const { id: update, name, args, result } of updates) {
    if (name !== pushUpdate.name || (result as PushAnswer | undefined)?.accepted === false) continue;
    const said: unknown = args[0];
    if (!Array.isArray(said)) continue;
    for (const [i, payload] of said.entries()) {
      // As the shard itself reads it, whoever typed it.
      const { sender, seq, entries, keys, row, bytes = 0, front = null, at = null } = readPush(payload as PushPayload);
      // One without a number is known by its update's name. A name that no database keeps as text is known by its hash.
      const whose = sender === undefined ? { sender: update, seq: i + 1 } : { sender: keepableKey(sender), seq: seq! };
      const id = row?.id ?? `${whose.sender}.${whose.seq}`;
      const about = { buffer, id, shard, ...whose, front, at };
      if (row) {
        notes.push(await note(db, { ...about, count: row.count, bytes }));
      } else if (entries && entries.length > 0) {
        notes.push(await storeAndNote(db, about, entries, keys));
      }
    }
  }
  return notes;
}
