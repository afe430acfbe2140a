/**
 * The statements of strikes: what may have ended the process of its keeper (`member/strikes.ts` says what one is). A
 * keeper reads those of its pool when it takes it (`shift/keep.ts`), counts them before handlers begin and deletes them
 * afterwards (`turns/strikes.ts`), many by one statement.
 *
 * They need not be on the disk before a handler begins: what ends a process of ours does not end the server.
 */
import type { Slots } from '../../../workflows/tracker/slots';
import { run, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';
import { MEMBER } from '../member/constants';
import type { Struck } from '../member/strikes';
import { columnsOf, type PoolClaim, type PoolOwner } from './fence';

const FOUND: Statement = {
  name: 'strike-found',
  text: `select ${ms('p.struck_before')} as before,
                array(select s.key from longwatch.strike s where s.tracker = p.tracker and s.slot between $3 and $4 and s.count < $5) as suspects
         from longwatch.pool p where p.tracker = $1 and p.pool = $2`,
};
const NO_DISK = `off as materialized (select set_config('synchronous_commit', 'off', true))`;
/** Under the fence, which is not locked: a keeper that loses its pool just then has counted one too many. */
const COUNT: Statement = {
  name: 'strike-count',
  text: `with ${NO_DISK}, ours as (
           select distinct h.tracker, e.slot, e.key, h.pool || '/' || h.token as keeper
           from unnest($1::int[], $2::bigint[], $3::text[]) as e (place, slot, key)
           join unnest($4::text[], $5::int[], $6::bigint[], $7::text[], $8::int[], $9::int[])
             with ordinality as h (tracker, pool, token, run_id, shift, attempt, place) on h.place = e.place
           join longwatch.pool p on p.tracker = h.tracker and p.pool = h.pool and p.token = h.token
             and p.run_id = h.run_id and p.shift = h.shift and p.attempt = h.attempt
           join longwatch.tracker t on t.name = h.tracker and longwatch.pool_of(longwatch.slot_of(e.slot), t.pools) = h.pool
           cross join off
         )
         insert into longwatch.strike as s (tracker, slot, key, keeper, count)
         select o.*, 1 from ours o order by o.tracker, o.slot, o.key
         on conflict (tracker, slot, key) do update
         set count = s.count + case when s.keeper = excluded.keeper then 0 else 1 end,
             keeper = excluded.keeper, struck_at = clock_timestamp()
         returning s.key, s.count`,
};
/**
 * A turn that has not begun is as the keepers before have left it: only what this one has counted is taken back. It
 * takes back nothing where a later keeper has counted as well.
 */
const TAKE_BACK: Statement = {
  name: 'strike-take-back',
  text: `with ${NO_DISK}, ours as (
           select e.* from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bool[]) as e (tracker, slot, key, keeper, begun)
           cross join off
         ), as_before as (
           update longwatch.strike s set count = s.count - 1, keeper = '' from ours e
           where s.tracker = e.tracker and s.slot = e.slot and s.key = e.key and s.keeper = e.keeper and not e.begun and s.count > 1
         )
         delete from longwatch.strike s using ours e
         where s.tracker = e.tracker and s.slot = e.slot and s.key = e.key and s.keeper = e.keeper and (e.begun or s.count = 1)`,
};
/** Nobody has begun it for so long: it has gone with its member, or waits behind much else and is counted anew. */
const PURGE: Statement = {
  name: 'strike-purge',
  text: `delete from longwatch.strike where struck_at < now() - interval '1 day'`,
};

/** A turn whose handler is about to begin, or has come back. */
export interface Strike {
  readonly owner: PoolOwner;
  /** The member's. */
  readonly slot: number;
  /** `ctx.key`. */
  readonly key: string;
}

/** The strikes that are there when the pool is taken, but for those of dead letters. */
export async function findStruck(
  db: Queryable,
  { tracker, pool }: Pick<PoolClaim, 'tracker' | 'pool'>,
  { first, last }: Slots,
): Promise<Struck> {
  const [row] = await run<{ before: number | null; suspects: string[] }>(db, FOUND, [
    ...[tracker, pool, first, last],
    MEMBER.strikes,
  ]);
  return { before: row?.before ?? undefined, suspects: row?.suspects ?? [] };
}

/**
 * @returns for each how many it has by now; undefined: its pool has another keeper, or it is in another pool since a
 *   split, and it was not counted
 */
export async function countStrikes(db: Queryable, strikes: readonly Strike[]): Promise<(number | undefined)[]> {
  const owners = [...new Set(strikes.map(({ owner }) => owner))];
  const places = new Map(owners.map((owner, at) => [owner, at + 1]));
  const found = await run<{ key: string; count: number }>(db, COUNT, [
    strikes.map(({ owner }) => places.get(owner)),
    strikes.map(({ slot }) => slot),
    strikes.map(({ key }) => key),
    ...columnsOf(owners),
  ]);
  // A key begins with its tracker.
  const counts = new Map(found.map(({ key, count }) => [key, count]));
  return strikes.map(({ key }) => counts.get(key));
}

/**
 * Takes back what this keeper was the last to count: all strikes of a turn whose handler has come back, and its own
 * strike of one that has not begun.
 */
export async function takeBackStrikes(
  db: Queryable,
  strikes: readonly { readonly strike: Strike; readonly hasBegun: boolean }[],
): Promise<void> {
  await run(db, TAKE_BACK, [
    strikes.map(({ strike }) => strike.owner.claim.tracker),
    strikes.map(({ strike }) => strike.slot),
    strikes.map(({ strike }) => strike.key),
    strikes.map(({ strike: { owner } }) => `${owner.claim.pool}/${owner.token}`),
    strikes.map(({ hasBegun }) => hasBegun),
  ]);
}

export async function purgeStrikes(db: Queryable): Promise<void> {
  await run(db, PURGE);
}
