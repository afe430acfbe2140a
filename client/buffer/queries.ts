/**
 * The SQL statements of the client for buffers and their dead letters. Numbers leave the database as float8, times as
 * epoch milliseconds.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';

export const BUFFER: Statement = {
  name: 'client-buffer',
  text: `select state, options as declared, changes from longwatch.buffer where name = $1`,
};

export const BUFFER_NAMES: Statement = {
  name: 'client-buffer-names',
  text: 'select name from longwatch.buffer order by name',
};

export const BUFFER_SHARDS: Statement = {
  name: 'client-buffer-shards',
  text: `select status, ${ms('now() - reported_at')} as age_ms, saved is not null as saved
         from longwatch.buffer_shard where buffer = $1 order by shard`,
};

export const BUFFER_PRESSURE: Statement = {
  name: 'client-buffer-pressure',
  text: `select b.state, s.shard, s.moment::float8 as moment, (s.status ->> 'spilling')::boolean as spilling,
                (s.status ->> 'bytes')::float8 as bytes, (s.status ->> 'pending')::float8 as pending
         from longwatch.buffer b left join longwatch.buffer_shard s on s.buffer = b.name where b.name = $1`,
};

export const STATUS_BUFFERS: Statement = {
  name: 'client-status-buffers',
  text: `select b.name, b.state, b.options, s.shards, s.age_ms
         from longwatch.buffer b
         left join (
           select buffer, json_agg(status order by shard) as shards, max(${ms('now() - reported_at')}) as age_ms
           from longwatch.buffer_shard group by buffer
         ) s on s.buffer = b.name
         order by b.name`,
};

/** $2 and $3: shards and entries, pairwise, or null for all; $4: part of the error; $5: age in milliseconds. */
const DEAD_FILTER = `buffer = $1 and ($2::int[] is null or (shard, entry) in (select * from unnest($2::int[], $3::bigint[])))
           and ($4::text is null or position(lower($4) in lower(error)) > 0)
           and died_at <= now() - make_interval(secs => $5::float8 / 1000)`;

const DEAD_COLUMNS = `shard, entry::float8 as entry, value, key, error, attempts, state, ${ms('died_at')} as died_at`;

export const DEAD_LIST: Statement = {
  name: 'client-dead-list',
  text: `select ${DEAD_COLUMNS} from longwatch.buffer_dead
         where ${DEAD_FILTER} and ($6 or state in ('dead', 'retrying', 'dropping'))
         order by died_at, shard, entry limit $7`,
};

export const DEAD_COUNT: Statement = {
  name: 'client-dead-count',
  text: `select count(*)::int as count from longwatch.buffer_dead where ${DEAD_FILTER} and state = 'dead'`,
};

export const DEAD_SHOW: Statement = {
  name: 'client-dead-show',
  text: `select ${DEAD_COLUMNS}, errors, op, note, ${ms('changed_at')} as changed_at
         from longwatch.buffer_dead where buffer = $1 and shard = $2 and entry = $3`,
};

/** Also those of an order that never reached its shard. */
export const DEAD_CHOOSE: Statement = {
  name: 'client-dead-choose',
  text: `with chosen as (
           update longwatch.buffer_dead set op = $6, state = $7, note = $8, changed_at = now()
           where ${DEAD_FILTER} and page is null
             and (state = 'dead' or (state in ('retrying', 'dropping') and changed_at < now() - interval '30 seconds'))
           returning shard)
         select shard, count(*)::int as count from chosen group by shard order by shard`,
};

export const DEAD_OPEN: Statement = {
  name: 'client-dead-open',
  text: `select count(*)::int as open from longwatch.buffer_dead
         where buffer = $1 and op = $2 and state in ('retrying', 'dropping')`,
};
