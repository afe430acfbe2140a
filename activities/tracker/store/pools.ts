/**
 * The pools' rows as the roster sees them: the version of each pool's members, how many they are, and the split of one
 * pool into two. Written by `roster/apply.ts` and `roster/layout.ts`, mended by `roster/recount.ts`; shifts read the
 * versions when they lock their fences (`fence.ts`), everybody else the counts.
 */
import { sourceOfSplit, slotsOf, type Slots } from '../../../workflows/tracker/slots';
import { run, type Queryable, type Statement } from '../../lib/database';
import type { Unbegun } from '../../../workflows/tracker/contract';

/** Version first, so that a shift that looks before the change commits looks again after it. */
const RAISE_VERSIONS: Statement = {
  name: 'pool-raise-versions',
  text: `insert into longwatch.pool (tracker, pool, roster_version)
         select $1, p, 1 from unnest($2::int[]) as p order by p
         on conflict (tracker, pool) do update set roster_version = pool.roster_version + 1`,
};
/**
 * $2 gives half of its slots to $3. The new pool's version is not below the other's: members keep the versions that
 * they have, and its shifts find none of them to be new. A shift that kept the new pool before it was one loads it
 * whole. Whatever is under way in $2 may end its process, when what it was is in $3.
 */
const SPLIT: Statement = {
  name: 'pool-split',
  text: `update longwatch.pool p
         set members = case p.pool when $2 then s.members - s.members / 2 else p.members + s.members / 2 end,
             recount = s.recount or s.members > 0,
             roster_version = greatest(p.roster_version, s.roster_version),
             struck_before = case p.pool when $2 then p.struck_before else now() end,
             reload_version = case p.pool when $2 then p.reload_version else greatest(p.roster_version, s.roster_version) end
         from (select members, recount, roster_version from longwatch.pool where tracker = $1 and pool = $2) s
         where p.tracker = $1 and p.pool in ($2, $3)`,
};
const ADD: Statement = {
  name: 'pool-add-members',
  text: `update longwatch.pool p set members = p.members + d.members
         from unnest($2::int[], $3::int[]) as d (pool, members)
         where p.tracker = $1 and p.pool = d.pool and d.members <> 0`,
};
const MEMBERS: Statement = {
  name: 'pool-members',
  text: `select coalesce(sum(members), 0)::int as members
         from longwatch.pool where tracker = $1 and ($2::int is null or pool = $2)`,
};
const RELOAD: Statement = {
  name: 'pool-reload',
  text: `update longwatch.pool set reload_version = roster_version where tracker = $1 and pool = any($2::int[])`,
};
/** Pools that nobody has kept yet, or that had no members: their workflows may not run. */
const BEGUN: Statement = {
  name: 'pool-begun',
  text: `select p.pool, p.members, p.node is null or p.members = d.members as begins
         from longwatch.pool p join unnest($2::int[], $3::int[]) as d (pool, members) on d.pool = p.pool
         where p.tracker = $1`,
};
const LAYOUT: Statement = { name: 'tracker-layout', text: `select pools from longwatch.tracker where name = $1` };
/** Pools that a split has halved come first, then the one that nobody has counted for longest. */
const NEXT_TO_COUNT: Statement = {
  name: 'pool-next-to-count',
  text: `select p.pool, t.pools from longwatch.pool p join longwatch.tracker t on t.name = p.tracker
         where p.tracker = $1 and (p.recount or not $2)
         order by p.recount desc, p.counted_at nulls first, p.pool limit 1`,
};
/** All of one moment: what the pool's row says, and what is there. */
const COUNT: Statement = {
  name: 'pool-count',
  text: `select p.roster_version::float8 as version, p.members,
                (select count(*)::int from longwatch.member m
                 where m.tracker = $1 and m.slot between $3 and $4 and m.removed_at is null) as counted
         from longwatch.pool p join longwatch.tracker t on t.name = p.tracker
         where p.tracker = $1 and p.pool = $2 and t.pools = $5`,
};
/**
 * Only where nothing has changed since: a change of the roster raises the version, and a member that its first message
 * has made raises the number alone. Says what the row had.
 */
const MEND: Statement = {
  name: 'pool-mend-count',
  text: `update longwatch.pool p set members = $4, recount = false, counted_at = now()
         from (select members, recount from longwatch.pool where tracker = $1 and pool = $2) was
         where p.tracker = $1 and p.pool = $2 and p.roster_version = $3 and p.members = $5
         returning was.members, was.recount`,
};
/** For so long: the workflow's clock is not the database's. */
const UNBEGUN: Statement = {
  name: 'pool-unbegun',
  text: `insert into longwatch.pool as p (tracker, pool, unbegun_since, unbegun_on)
         select $1, $2, now() - make_interval(secs => $3::float8 / 1000), $4
         where exists (select from longwatch.tracker where name = $1)
         on conflict (tracker, pool) do update
         set unbegun_since = excluded.unbegun_since, unbegun_on = excluded.unbegun_on`,
};

/**
 * Locks and raises the pools' roster versions, in the order of their numbers so that no two writers wait for each
 * other.
 */
export async function raiseVersions(db: Queryable, tracker: string, pools: number[]): Promise<void> {
  await run(db, RAISE_VERSIONS, [tracker, [...new Set(pools)].sort((a, b) => a - b)]);
}

/** Makes pool number `pools`: half of another one's slots are its own. Call it with the tracker's row locked. */
export async function splitPool(db: Queryable, tracker: string, pools: number): Promise<{ source: number }> {
  const source = sourceOfSplit(pools);
  await raiseVersions(db, tracker, [source, pools]);
  await run(db, SPLIT, [tracker, source, pools]);
  return { source };
}

/** Writes down that no node has begun the shift of a pool; `fence.ts` takes it back for whoever takes the pool. */
export async function writeUnbegun(
  db: Queryable,
  tracker: string,
  pool: number,
  { queue, sinceMs, untilMs }: Unbegun,
): Promise<void> {
  await run(db, UNBEGUN, [tracker, pool, untilMs - sinceMs, queue]);
}

/** Has shifts of these pools load them whole: a member may have gone elsewhere. Call `raiseVersions` for them first. */
export async function reloadPools(db: Queryable, tracker: string, pools: number[]): Promise<void> {
  if (pools.length > 0) await run(db, RELOAD, [tracker, pools]);
}

/**
 * The pools that were written to, after `addToCounts` with the same changes.
 * @returns how many members each has, and whether it may have to be started
 */
export async function writtenPools(
  db: Queryable,
  tracker: string,
  changes: ReadonlyMap<number, number>,
): Promise<{ pool: number; members: number; begins: boolean }[]> {
  if (changes.size === 0) return [];
  return run(db, BEGUN, [tracker, [...changes.keys()], [...changes.values()]]);
}

/** Adds to the pools' counts, by pool. Call `raiseVersions` for them first. */
export async function addToCounts(db: Queryable, tracker: string, changes: ReadonlyMap<number, number>): Promise<void> {
  const changed = [...changes].filter(([, members]) => members !== 0);
  if (changed.length === 0) return;
  await run(db, ADD, [tracker, changed.map(([pool]) => pool), changed.map(([, members]) => members)]);
}

/** Members of one pool, or of the whole tracker, as their pools' rows have it. */
export async function countMembers(db: Queryable, tracker: string, pool: number | null): Promise<number> {
  return (await run<{ members: number }>(db, MEMBERS, [tracker, pool]))[0]!.members;
}

/** The slots of a pool by the layout as it is now; none where the tracker or the pool is not there. */
export async function readSlots(db: Queryable, tracker: string, pool: number): Promise<Slots> {
  const [row] = await run<{ pools: number }>(db, LAYOUT, [tracker]);
  return slotsOf(pool, row?.pools ?? 0);
}

/** `wrong`: the count that a change had kept was not that of the members. */
export type Recounted = { pool: number; was: number; members: number; wrong: boolean };

/**
 * Counts one pool and mends what its row says. Nothing is locked while it counts.
 * @param onlyHalved only a pool that a split has halved
 * @returns 'changed' where its members changed meanwhile; undefined where there is no pool to count
 */
export async function recountNext(
  db: Queryable,
  tracker: string,
  onlyHalved: boolean,
): Promise<Recounted | 'changed' | undefined> {
  const [next] = await run<{ pool: number; pools: number }>(db, NEXT_TO_COUNT, [tracker, onlyHalved]);
  if (!next) return undefined;
  const { first, last } = slotsOf(next.pool, next.pools);
  const values = [tracker, next.pool, first, last, next.pools];
  const [found] = await run<{ version: number; members: number; counted: number }>(db, COUNT, values);
  if (!found) return 'changed';
  const [was] = await run<{ members: number; recount: boolean }>(db, MEND, [
    tracker,
    next.pool,
    found.version,
    found.counted,
    found.members,
  ]);
  if (!was) return 'changed';
  const wrong = !was.recount && was.members !== found.counted;
  return { pool: next.pool, was: was.members, members: found.counted, wrong };
}
