/**
 * A shard that begins anew in the place of one of which Temporal has nothing left and PostgreSQL nothing kept: after
 * the server's store was lost, the workflow was deleted, or its history was past the retention. Its numbers go on above
 * all that the one before has left, and what that one had stored is put aside, so that nothing of the two is ever taken
 * for the other's. Called by `commands.ts`.
 */
import type { Logger } from 'pino';
import { shardWorkflowId } from '../../workflows/buffer/contract';
import type { Beginning } from '../../workflows/buffer/state';
import { run, type Database, type Statement } from '../lib/database';
import type { TemporalLink } from '../lib/temporal';

/** Rows that are put aside are deleted then. Days. */
const ASIDE_DAYS = 30;

/** Stores of a shard wait for it. */
const LOCK: Statement = {
  name: 'begin-lock',
  text: `insert into longwatch.buffer_fence as f (buffer, shard, moment) values ($1, $2, 0)
         on conflict (buffer, shard) do update set moment = f.moment returning moment`,
};
const LAST: Statement = {
  name: 'begin-last',
  text: `select (select moment from longwatch.buffer_shard where buffer = $1 and shard = $2) as moment,
                (select greatest(max(entry) filter (where what = 'entry'), 0)::float8 as entry) as entry,
                (select greatest(max(entry) filter (where what = 'place'), 0)::float8 as entry) as place,
                floor(extract(epoch from clock_timestamp()) * 1000)::float8 as now
         from (
           select 'entry' as what, max(entry) as entry from longwatch.buffer_dead where buffer = $1 and shard = $2
           union all select 'entry', max(entry) from longwatch.buffer_key where buffer = $1 and shard = $2
           union all select 'entry', max(first + count) from longwatch.buffer_chunk where buffer = $1 and shard = $2
           union all select 'entry', (status ->> 'accepted')::bigint from longwatch.buffer_shard where buffer = $1 and shard = $2
           union all select 'place', max(place) from longwatch.buffer_chunk where buffer = $1 and shard = $2
         ) as left_behind`,
};
const PUT_ASIDE: Statement = {
  name: 'begin-put-aside',
  text: `update longwatch.buffer_chunk
         set shard = null, lane = null, place = null, token = null, expires_at = now() + make_interval(days => $3)
         where buffer = $1 and shard = $2
         returning count`,
};
const FORGET_KEYS: Statement = {
  name: 'begin-forget-keys',
  text: `delete from longwatch.buffer_key where buffer = $1 and shard = $2`,
};

/** @returns undefined where there was none before it, or it runs after all */
export async function beginAnew(
  database: Database,
  temporal: TemporalLink,
  buffer: string,
  shard: number,
  log: Logger,
): Promise<Beginning | undefined> {
  return database.transaction(async (db) => {
    await run(db, LOCK, [buffer, shard]);
    // Under the lock: one that has been started meanwhile has stored nothing yet, or is seen to run.
    if ((await temporal.lastRun(shardWorkflowId(buffer, shard))).state !== 'missing') return undefined;
    type Last = { moment: number | null; entry: number | null; place: number | null; now: number };
    const [last] = await run<Last>(db, LAST, [buffer, shard]);
    const { moment, entry, place, now } = last!;
    if (moment === null && !entry && !place) return undefined;
    const rows = await run<{ count: number }>(db, PUT_ASIDE, [buffer, shard, ASIDE_DAYS]);
    await run(db, FORGET_KEYS, [buffer, shard]);
    const entries = rows.reduce((sum, { count }) => sum + count, 0);
    log.warn(
      { buffer, shard, entries },
      `nothing is left in Temporal of a shard that was there: it begins anew. ${entries} entries that it had stored are kept aside ` +
        `for ${ASIDE_DAYS} days (longwatch.buffer_chunk without a shard)`,
    );
    // Rows are named by numbers of which not all are known; no shard has stored a thousand rows a second for all of its
    // life.
    return { moment: moment ?? 0, entry: (entry ?? 0) + 1, row: Math.max((place ?? 0) + 1, now) };
  });
}
