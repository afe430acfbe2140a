/**
 * The statements about nodes: what each says of itself, what it keeps by the fences, and what is wanted of it. The
 * database's clock dates everything. Run by `nodes.ts`, `wishes.ts` and `pools.ts`.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import { DRAINS_FOR } from '../../activities/tracker/store/nodes';

/** The drain of a row `n` as a whole counts still. */
const IN_FORCE = '(n.drained_until is null or n.drained_until > clock_timestamp())';
/** The drains for one tracker each that count still: `[{"tracker": "eve", "until": null}]`, in milliseconds. */
const IN_PART = `(select coalesce(json_agg(json_build_object('tracker', f.tracker, 'until', ${ms('f.until')})
                                            order by f.tracker), '[]') from ${DRAINS_FOR} f)`;

/** Also those that ended, for a day. One that was not noted by a worker of this release has no word of itself. */
export const NODES: Statement = {
  name: 'client-nodes',
  text: `select n.name, n.host, n.pid, n.metrics_url, n.version, n.labels, n.address, n.target, n.weight,
                n.placement, n.use, n.ended_at is not null as ended, ${ms('n.started_at')} as started_at,
                ${ms('n.seen_at')} as seen_at, ${ms('clock_timestamp()')} as now,
                ${ms('n.poolless_since')} as poolless_since,
                n.drained_at is not null and ${IN_FORCE} as drained,
                ${IN_PART} as drained_for,
                case when ${IN_FORCE} then ${ms('n.drained_at')} end as drained_at,
                case when n.drained_until > clock_timestamp() then ${ms('n.drained_until')} end as drained_until,
                coalesce(k.pools, 0)::int as pools, coalesce(k.members, 0)::float8 as members
         from longwatch.node n
         left join (select node, count(*) as pools, sum(members) as members from longwatch.pool
                    where node is not null and released_at is null and quarantined_at is null group by node) k
           on k.node = n.name
         where $1::text is null or n.name = $1
         order by n.name`,
};

/** Trackers that keep pools, for heartbeats and for what a node lacks. */
export const NODE_TRACKERS: Statement = {
  name: 'client-node-trackers',
  text: `select name, pools, options, changes from longwatch.tracker where state <> 'stopped' order by name`,
};

export const NODE_NAMES: Statement = {
  name: 'client-node-names',
  text: 'select name from longwatch.node order by name',
};

/** The wishes as they are, locked: what is written next rests on them. */
export const WISHES: Statement = {
  name: 'client-node-wishes',
  text: `select n.target, n.weight, n.drained_at is not null as drained, ${IN_PART} as drained_for,
                ${ms('n.drained_until')} as drained_until, ${ms('clock_timestamp()')} as now, n.ended_at is not null as ended
         from longwatch.node n where n.name = $1 for update`,
};

/** A trigger announces it to all nodes (migration 0017). A drain that goes on keeps the time of its beginning. */
export const WISH: Statement = {
  name: 'client-node-wish',
  text: `update longwatch.node set
           drained_at = case when $2::boolean then case when $6::boolean then now() else coalesce(drained_at, now()) end end,
           drained_for = $3,
           drained_for_until = array(select to_timestamp(u / 1000) from unnest($8::float8[]) with ordinality as x (u, at)
                                     order by at),
           drained_until = to_timestamp($4::float8 / 1000), target = $5, weight = $7
         where name = $1`,
};

/** How many pools a node still keeps: of all trackers, or of one. */
export const KEPT: Statement = {
  name: 'client-node-kept',
  text: `select count(*)::int as pools from longwatch.pool p
         where p.node = $1 and p.released_at is null and p.quarantined_at is null and ($2::text is null or p.tracker = $2)`,
};

/** Pools that nodes keep, with what placement needs to know of them. */
export const KEPT_POOLS: Statement = {
  name: 'client-kept-pools',
  text: `select p.tracker, p.pool, p.members, p.node
         from longwatch.pool p join longwatch.tracker t on t.name = p.tracker and p.pool < t.pools
         where t.state <> 'stopped' and p.node is not null and p.released_at is null and p.quarantined_at is null
         order by p.tracker, p.pool`,
};

/** The newest version of a state among the members of these slots; null: none has any. */
export const NEWEST_STATE: Statement = {
  name: 'client-newest-state',
  text: `select max(schema)::float8 as newest from longwatch.life
         where tracker = $1 and slot between $2 and $3 and version > 0 and state is not null`,
};

/**
 * The fences of these pools. Each shift has a claim of its own; a keeper that goes on meanwhile has its last one
 * (`activities/tracker/shift/meanwhile.ts`).
 */
export const FENCES: Statement = {
  name: 'client-fences',
  text: `select p.tracker, p.pool, concat_ws('/', p.run_id, p.shift, p.attempt) as claim, p.node, p.released_at is null as held
         from unnest($1::text[], $2::int[]) as k (tracker, pool)
         join longwatch.pool p on p.tracker = k.tracker and p.pool = k.pool`,
};
