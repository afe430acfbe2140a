/**
 * The SQL statements of the client for buffers and their dead letters. Numbers leave the database as float8, times as
 * epoch milliseconds.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';

export const BUFFER: Statement = {
  name: 'client-buffer',
  text: `select state, options as declared, changes, version::float8 as version from longwatch.buffer where name = $1`,
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

/**
 * $2 and $3: shards and entries, pairwise, or null for all; $4: part of the error; $5: age in milliseconds; $6: a
 * pattern of the whole error.
 */
const DEAD_FILTER = `buffer = $1 and ($2::int[] is null or (shard, entry) in (select * from unnest($2::int[], $3::bigint[])))
           and ($4::text is null or position(lower($4) in lower(error)) > 0)
           and died_at <= now() - make_interval(secs => $5::float8 / 1000) and ($6::text is null or error ~ $6)`;

const DEAD_COLUMNS = `shard, entry::float8 as entry, value, key, error, attempts, state, ${ms('died_at')} as died_at`;

export const DEAD_LIST: Statement = {
  name: 'client-dead-list',
  text: `select ${DEAD_COLUMNS} from longwatch.buffer_dead
         where ${DEAD_FILTER} and ($7 or state in ('dead', 'retrying', 'dropping'))
         order by died_at, shard, entry limit $8`,
};

/**
 * A page of the same, behind the letter of ($9, $10, $11): as many as were asked for, or as have room in some bytes
 * ($12), and one at least. `place` is when it died in whole microseconds, which a double has room for.
 */
export const DEAD_PAGE: Statement = {
  name: 'client-dead-page',
  text: `with found as materialized (
           select ${DEAD_COLUMNS}, (extract(epoch from died_at) * 1000000)::bigint::float8 as place from longwatch.buffer_dead
           where ${DEAD_FILTER} and ($7 or state in ('dead', 'retrying', 'dropping'))
             and ($9::float8 is null or (buffer_dead.died_at, shard, buffer_dead.entry)
                  > ('epoch'::timestamptz + $9::float8 * interval '1 microsecond', $10::int, $11::bigint))
           order by buffer_dead.died_at, shard, buffer_dead.entry limit $8
         ), sized as (
           select *, octet_length(value::text) as bytes,
                  sum(octet_length(value::text)) over (order by place, shard, entry) as so_far
           from found
         )
         select shard, entry, value, key, error, attempts, state, died_at, place, (select count(*)::int from found) as found
         from sized where so_far - bytes < $12 order by place, shard, entry`,
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
           update longwatch.buffer_dead set op = $7, state = $8, note = $9, changed_at = now()
           where ${DEAD_FILTER} and page is null
             and (state = 'dead' or (state in ('retrying', 'dropping') and changed_at < now() - interval '30 seconds'))
           returning shard)
         select shard, count(*)::int as count from chosen group by shard order by shard`,
};

/** The newest so many ($2), by what their errors say; digits become one sign each, which leaves few rows. */
export const DEAD_GROUPS: Statement = {
  name: 'client-dead-groups',
  text: `with looked as materialized (
           select shard, entry, error, died_at from longwatch.buffer_dead
           where buffer = $1 and state = 'dead' order by died_at desc limit $2
         ), grouped as (
           select count(*)::int as letters, min(died_at) as first, max(died_at) as last,
                  max(array[shard::bigint, entry]) as example
           from looked group by translate(left(error, 300), '0123456789', '##########')
           order by 1 desc limit 1000
         )
         select (select count(*)::int from looked) as looked, g.letters, ${ms('g.first')} as first_at, ${ms('g.last')} as last_at,
                d.shard, d.entry::float8 as entry, left(d.error, 1000) as error
         from (select) as one left join grouped g on true
         left join lateral (
           select shard, entry, error from longwatch.buffer_dead
           where buffer = $1 and shard = g.example[1] and entry = g.example[2] offset 0
         ) d on true
         order by g.letters desc`,
};

/** A page of letters that were dropped, chosen for good: who takes them pushes them in the same transaction. */
export const DEAD_RESTORE: Statement = {
  name: 'client-dead-restore',
  text: `with chosen as (
           select shard, entry from longwatch.buffer_dead
           where ${DEAD_FILTER} and state = 'dropped'
           order by shard, entry limit $9 for update skip locked
         )
         update longwatch.buffer_dead d set op = $7, state = 'retried', note = $8, changed_at = now()
         from chosen c where d.buffer = $1 and d.shard = c.shard and d.entry = c.entry
         returning d.shard, d.entry::float8 as entry, d.value, d.key`,
};
export const DEAD_DROPPED: Statement = {
  name: 'client-dead-dropped',
  text: `select count(*)::int as count from longwatch.buffer_dead where ${DEAD_FILTER} and state = 'dropped'`,
};

export const DEAD_OPEN: Statement = {
  name: 'client-dead-open',
  text: `select count(*)::int as open from longwatch.buffer_dead
         where buffer = $1 and op = $2 and state in ('retrying', 'dropping')`,
};
