/**
 * The SQL of `job.ts` and of the jobs in `status.ts`: read only, but for dead letters that are taken up again or
 * dropped.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import { micros, timeOfMicros } from '../page';

export const JOB_NAMES: Statement = { name: 'client-job-names', text: 'select name from longwatch.job order by name' };

/** Whether there is one: what else is told of a job is counted. */
export const JOB_THERE: Statement = {
  name: 'client-job-there',
  text: 'select from longwatch.job where name = $1',
};

/** All jobs, or one: its row, the open tick and how far it is, the newest one that has ended. */
export const JOBS: Statement = {
  name: 'client-jobs',
  text: `select j.name, j.kind, j.state, j.options, j.changes, j.node, j.version::float8 as version,
                open.due as open_due, open.elapsed as open_elapsed, open.rows as open_rows, open.parts, open.parts_done, open.error as open_error,
                last.due as last_due, last.rows as last_rows, last.failed as last_failed, last.ms as last_ms,
                last.band as last_band, last.error as last_error, last.ended_at as last_ended_at,
                (select count(*)::float8 from longwatch.failed_row f where f.job = j.name) as failed_rows,
                (select coalesce(sum(jsonb_array_length(c.keys)), 0)::float8 from longwatch.claim c where c.job = j.name) as claimed
         from longwatch.job j
         left join lateral (
           select ${ms('t.due')} as due, t.elapsed, t.error, coalesce(sum(r.rows), 0)::float8 as rows, count(r.part)::int as parts,
                  (count(r.part) filter (where r.done))::int as parts_done
           from longwatch.tick t left join longwatch.tick_range r on r.job = t.job
           where t.job = j.name and t.ended_at is null group by t.due, t.elapsed, t.error
         ) as open on true
         left join lateral (
           select ${ms('t.due')} as due, t.rows::float8 as rows, t.failed::float8 as failed, t.ms, t.band, t.error,
                  ${ms('t.ended_at')} as ended_at
           from longwatch.tick t where t.job = j.name and t.ended_at is not null order by t.due desc limit 1
         ) as last on true
         where $1::text is null or j.name = $1
         order by j.name`,
};

const TICK = `${ms('t.due')} as due, t.request, t.elapsed, t.skipped, ${ms('t.started_at')} as started_at,
              ${ms('t.ended_at')} as ended_at, t.rows::float8 as rows, t.chunks::float8 as chunks, t.failed::float8 as failed,
              t.ms, t.longest_ms, t.round_trip_p50_ms, t.round_trip_p99_ms, t.band, t.error`;

export const HISTORY: Statement = {
  name: 'client-job-history',
  text: `select ${TICK} from longwatch.tick t where t.job = $1 and t.ended_at is not null order by t.due desc limit $2`,
};

/** A page of the same, behind the one that was due at $2. */
export const HISTORY_PAGE: Statement = {
  name: 'client-job-history-page',
  text: `select ${TICK}, ${micros('t.due')} as place from longwatch.tick t
         where t.job = $1 and t.ended_at is not null and t.due < coalesce(${timeOfMicros('$2')}, 'infinity')
         order by t.due desc limit $3`,
};

/** A tick that was asked for by hand, and how far it is. */
export const REQUESTED: Statement = {
  name: 'client-job-requested',
  text: `select ${TICK}, (select j.state from longwatch.job j where j.name = t.job) as state,
                (select coalesce(sum(r.rows), 0)::float8 from longwatch.tick_range r where r.job = t.job) as rows_so_far,
                (select count(*)::int from longwatch.tick_range r where r.job = t.job) as parts,
                (select (count(*) filter (where r.done))::int from longwatch.tick_range r where r.job = t.job) as parts_done
         from longwatch.tick t where t.job = $1 and t.request = $2`,
};

export const FAILED_ROWS: Statement = {
  name: 'client-job-failed-rows',
  text: `select key, ${ms('due')} as due, error, code, attempts, ${ms('failed_at')} as failed_at
         from longwatch.failed_row where job = $1 order by failed_at desc, key limit $2`,
};

/** The hashes of a key, which itself may be longer than an address. */
const HASHES = ['hash_array_extended(f.key, 0)', 'hash_array_extended(f.key, 1)'];

/** A page of the same, behind the row of ($2, $3, $4). */
export const FAILED_ROWS_PAGE: Statement = {
  name: 'client-job-failed-rows-page',
  text: `select f.key, ${ms('f.due')} as due, f.error, f.code, f.attempts, ${ms('f.failed_at')} as failed_at,
                ${micros('f.failed_at')} as place, ${HASHES[0]}::text as h0, ${HASHES[1]}::text as h1
         from longwatch.failed_row f
         where f.job = $1
           and (f.failed_at, ${HASHES.join(', ')}) < (coalesce(${timeOfMicros('$2')}, 'infinity'), $3::bigint, $4::bigint)
         order by f.failed_at desc, ${HASHES.map((hash) => `${hash} desc`).join(', ')} limit $5`,
};

/**
 * Dead letters of these keys, each key a JSON list of its columns as text; or by what a person types, `KEY` or
 * `KEY,KEY`.
 */
export const FIND_ROWS: Statement = {
  name: 'client-job-find-rows',
  text: `select key, array_to_string(key, ',') as typed from longwatch.failed_row
         where job = $1 and (to_jsonb(key) in (select jsonb_array_elements($2::jsonb)) or array_to_string(key, ',') = any ($3))`,
};
/** $2 null: all of them. A row that is not a dead letter any more is claimed again when it is due. */
export const RETRY_ROWS: Statement = {
  name: 'client-job-retry-rows',
  text: `delete from longwatch.failed_row
         where job = $1 and ($2::jsonb is null or to_jsonb(key) in (select jsonb_array_elements($2::jsonb))) returning key`,
};
