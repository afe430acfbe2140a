/**
 * The fence of a pool: the token that lets only its newest holder write. A shift takes it before its first fetch
 * (`shift/take-pool.ts`); every flush locks it and compares (`shift/flush.ts`). Taking waits for a flush
 * that is under way and refuses every later one, whatever Temporal believes of the older attempt.
 */
import { ErrorType } from '../../../workflows/lib/errors';
import { failure } from '../../lib/failures';
import type { Clock } from '../shift/clock';
import { run, type Database, type Queryable, type Statement } from '../../lib/database';
import { takeOver } from '../../lib/take-over';
import { storable } from '../../../workflows/lib/text';
import { ms } from '../../lib/sql';

/** One that wants the fence. Within one run only a greater (shift, attempt) may have it. */
export interface PoolClaim {
  tracker: string;
  pool: number;
  runId: string;
  shift: number;
  attempt: number;
  node: string;
}

/** A fence that was taken. */
export interface PoolFence {
  token: number;
  rosterVersion: number;
}

/** The owner of a pool: who has taken it, and the token that was given for it. */
export interface PoolOwner {
  claim: PoolClaim;
  token: number;
}

/** The view that a flush has of a pool that is its own and that it has locked. */
export interface LockedPool {
  rosterVersion: number;
  reloadVersion: number;
}

/**
 * The answer to a flush about a pool: `fenced` where it is not ours any more; `later` where it is, as far as can be
 * seen, but somebody has it locked who may be about to take it or to change its members, or a person, or a process that
 * is frozen.
 */
export type FenceState = LockedPool | 'fenced' | 'later';

const HOLDER_RUN: Statement = {
  name: 'fence-holder-run',
  text: `select run_id from longwatch.pool where tracker = $1 and pool = $2`,
};
const SEEN: Statement = {
  name: 'fence-seen',
  text: `select members, token::float8 as token, case when released_at is null then node end as keeper
         from longwatch.pool where tracker = $1 and pool = $2`,
};
/** The pools of the list that have another token than the one that is known. */
const SEEN_TAKEN: Statement = {
  name: 'fence-seen-taken',
  text: `select p.tracker, p.pool, p.node, ${ms('p.taken_at')} as taken_at
         from unnest($1::text[], $2::int[], $3::bigint[]) as h (tracker, pool, token)
         join longwatch.pool p on p.tracker = h.tracker and p.pool = h.pool and p.token <> h.token
         where p.node is not null and p.taken_at is not null`,
};
/**
 * $7 is the run that Temporal has declared over by saying that ours is the current one; null: none. The work
 * that was under way with a holder that did not end cleanly may have ended it (`strikes.ts`).
 */
const TAKE: Statement = {
  name: 'fence-take',
  text: `insert into longwatch.pool as p (tracker, pool, token, run_id, shift, attempt, node, taken_at)
         values ($1, $2, 1, $3, $4, $5, $6, now())
         on conflict (tracker, pool) do update
         set token = p.token + 1, run_id = excluded.run_id, shift = excluded.shift, attempt = excluded.attempt,
             node = excluded.node, taken_at = now(), released_at = null, quarantined_at = null,
             unbegun_since = null, unbegun_on = null,
             struck_before = case when p.run_id is null or p.released_token = p.token then p.struck_before else now() end,
             crashes = case when p.quarantined_at is null then p.crashes else 0 end
         where p.run_id is null
            or (p.run_id = excluded.run_id and (p.shift, p.attempt) < (excluded.shift, excluded.attempt))
            or (p.run_id <> excluded.run_id and p.run_id = $7)
         returning token::float8 as token, roster_version::float8 as roster_version,
                   ${ms('clock_timestamp()')} as taken_at`,
};
/**
 * The token and, beside it, for whom it was given: a server that a failover has put back some moments may give a token
 * twice. Not locked: what is missing is told apart by LOOK. Told by the place in the list: two shifts of one pool may
 * be on one node, and only one holds it.
 */
const OWNED = `
         from unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::int[], $6::int[])
           with ordinality as h (tracker, pool, token, run_id, shift, attempt, place)
         join longwatch.pool p on p.tracker = h.tracker and p.pool = h.pool and p.token = h.token
           and p.run_id = h.run_id and p.shift = h.shift and p.attempt = h.attempt`;
/**
 * FOR SHARE conflicts with taking, and with a change of the roster, but not with the flushes of other nodes. A locked
 * row is passed over: waiting for it would let all of a node's pools wait for one.
 */
const LOCK: Statement = {
  name: 'fence-lock',
  text: `select h.place::int as place, p.roster_version::float8 as roster_version,
                p.reload_version::float8 as reload_version
         ${OWNED}
         order by p.tracker, p.pool
         for share of p skip locked`,
};
const LOOK: Statement = {
  name: 'fence-look',
  text: `select h.place::int as place ${OWNED}`,
};
/** The same for one pool whose holder waits for it. */
const LOCK_ONE: Statement = {
  name: 'fence-lock-one',
  text: `select 1 ${OWNED} for share of p`,
};
const OWN = 'tracker = $1 and pool = $2 and token = $3 and run_id = $4 and shift = $5 and attempt = $6';
const RELEASE: Statement = {
  name: 'fence-release',
  text: `update longwatch.pool set released_at = now(), released_token = token, crashes = 0 where ${OWN}`,
};
/**
 * The last holder goes on: it has let the pool go, and nobody has taken it since. By a token of its own, so that
 * whatever of its shift may still be under way, a flush or the note of its end, comes too late. Asked once more, for
 * the answer was lost, it is the same.
 */
const TAKE_BACK: Statement = {
  name: 'fence-take-back',
  text: `update longwatch.pool set token = $3::bigint + 1, released_at = null, taken_at = now()
         where tracker = $1 and pool = $2 and token in ($3::bigint, $3::bigint + 1) and run_id = $4 and shift = $5
           and attempt = $6
         returning token::float8 as token, roster_version::float8 as roster_version`,
};
/** Whether the holder before the one of now said that everything was written, and nothing under way. */
const CLEAN: Statement = {
  name: 'fence-clean',
  text: `select token = 1 or released_token = token - 1 as clean from longwatch.pool where tracker = $1 and pool = $2`,
};
/** Crashes count as in a row when the shift had been kept for less than a minute. */
const CRASHED: Statement = {
  name: 'fence-crashed',
  text: `update longwatch.pool
         set crashes = case when taken_at < now() - interval '1 minute' then 1 else crashes + 1 end,
             last_error = $7, released_at = now()
         where ${OWN}
         returning crashes`,
};
const QUARANTINE: Statement = {
  name: 'fence-quarantine',
  text: `update longwatch.pool set quarantined_at = now() where ${OWN}`,
};

/**
 * A locked row of a pool is asked for again this much later, so that a wait for it does not hold a connection.
 * Milliseconds.
 */
const TAKE_WAIT_MS = 500;

/**
 * Takes the fence, or throws Fenced. `isCurrent` asks Temporal whether the claim's run is the current one of its
 * workflow; it is only called when the holder is of another run (after a reset, a restart or continue-as-new), whose
 * numbers say nothing. Waits for half a second at most for who has the row locked (SQLSTATE 55P03).
 * @param clock is told the database's time
 * @param inTurn runs what is asked of the database. Requests to Temporal run outside of it, so that a wait for them
 *   holds nobody up.
 * @param mayTake is awaited right before the fence is taken
 * @param isTaken is asked once it is, in the same transaction: no keeper before writes any more. If it throws, the pool
 *   stays whose it was.
 */
export async function takeFence(
  database: Database,
  claim: PoolClaim,
  isCurrent: () => Promise<boolean>,
  clock?: Pick<Clock, 'now' | 'set'>,
  inTurn: <T>(work: () => Promise<T>) => Promise<T> = (work) => work(),
  mayTake: () => Promise<void> = () => Promise.resolve(),
  isTaken: (db: Queryable, fence: PoolFence) => Promise<void> = () => Promise.resolve(),
): Promise<PoolFence> {
  const taken = await takeOver({
    runId: claim.runId,
    holder: async () => {
      const values = [claim.tracker, claim.pool];
      const [row] = await inTurn(() => database.rows<{ run_id: string | null }>(HOLDER_RUN, values));
      return row?.run_id ?? null;
    },
    isCurrent,
    take: async (other) => {
      await mayTake();
      const taking = async (db: Queryable) => {
        const fence = await take(db, claim, other, clock);
        if (fence) await isTaken(db, fence);
        return fence;
      };
      return inTurn(() => database.transaction(taking, { lockTimeoutMs: TAKE_WAIT_MS }));
    },
  });
  if (taken !== 'over' && taken !== 'older') return taken.fence;
  throw failure(
    ErrorType.Fenced,
    `pool ${claim.pool} of ${claim.tracker} has a newer holder than shift ${claim.shift}, attempt ${claim.attempt}`,
  );
}

async function take(
  db: Queryable,
  { tracker, pool, runId, shift, attempt, node }: PoolClaim,
  other: string | null,
  clock: Pick<Clock, 'now' | 'set'> | undefined,
): Promise<PoolFence | undefined> {
  const askedAt = clock?.now() ?? 0;
  type Taken = { token: number; roster_version: number; taken_at: number };
  const [row] = await run<Taken>(db, TAKE, [tracker, pool, runId, shift, attempt, node, other]);
  if (!row) return undefined;
  clock?.set(row.taken_at, askedAt);
  return { token: row.token, rosterVersion: row.roster_version };
}

/** A pool as it is before anybody takes it: 0 where it has no row yet. */
export interface SeenFence {
  members: number;
  token: number;
  /** The node that took it last and has not let it go; null or absent: none. */
  keeper?: string | null;
  /** The newest version of a state of its members (`shift/readable.ts` reads it); 0 or absent: none has any. */
  states?: number;
}

export async function seenFence(db: Queryable, { tracker, pool }: PoolClaim): Promise<SeenFence> {
  return (await run<SeenFence & Record<string, unknown>>(db, SEEN, [tracker, pool]))[0] ?? { members: 0, token: 0 };
}

/** The pools of the list that were taken since, and by which nodes. */
export async function seenFences(
  db: Queryable,
  known: readonly { tracker: string; pool: number; token: number }[],
): Promise<{ tracker: string; pool: number; node: string; takenAt: number }[]> {
  type Row = { tracker: string; pool: number; node: string; taken_at: number };
  const rows = await run<Row>(db, SEEN_TAKEN, [
    known.map(({ tracker }) => tracker),
    known.map(({ pool }) => pool),
    known.map(({ token }) => token),
  ]);
  return rows.map(({ taken_at: takenAt, ...row }) => ({ ...row, takenAt }));
}

/**
 * Locks the fences that are free and still ours until the transaction ends, and says of each of the others why it is
 * not locked: what is gone, or has another holder, is fenced; what somebody else has locked is for later. Waits for
 * nobody.
 */
export async function lockFences(db: Queryable, owners: readonly PoolOwner[]): Promise<FenceState[]> {
  const states = owners.map((): FenceState => 'fenced');
  type Locked = { place: number; roster_version: number; reload_version: number };
  for (const { place, ...row } of await run<Locked>(db, LOCK, columnsOf(owners))) {
    states[place - 1] = { rosterVersion: row.roster_version, reloadVersion: row.reload_version };
  }
  const rest = [...owners.keys()].filter((index) => states[index] === 'fenced');
  if (rest.length === 0) return states;
  const there = await run<{ place: number }>(db, LOOK, columnsOf(rest.map((index) => owners[index]!)));
  for (const { place } of there) states[rest[place - 1]!] = 'later';
  return states;
}

export async function isOfCleanEnd(
  db: Queryable,
  { tracker, pool }: Pick<PoolClaim, 'tracker' | 'pool'>,
): Promise<boolean> {
  const [row] = await run<{ clean: boolean | null }>(db, CLEAN, [tracker, pool]);
  return row?.clean ?? false;
}

/** Locks one fence, waiting for whoever has it; false: it is not ours any more. */
export async function lockFence(db: Queryable, owner: PoolOwner): Promise<boolean> {
  return (await run(db, LOCK_ONE, columnsOf([owner]))).length > 0;
}

/** For `unnest`: tracker, pool, token, run, shift and attempt of each. */
export function columnsOf(owners: readonly PoolOwner[]): unknown[] {
  return [
    owners.map(({ claim }) => claim.tracker),
    owners.map(({ claim }) => claim.pool),
    owners.map(({ token }) => token),
    owners.map(({ claim }) => claim.runId),
    owners.map(({ claim }) => claim.shift),
    owners.map(({ claim }) => claim.attempt),
  ];
}

const ownOf = ({ claim, token }: PoolOwner): unknown[] => [
  claim.tracker,
  claim.pool,
  token,
  claim.runId,
  claim.shift,
  claim.attempt,
];

/** Notes a clean end. The next shift takes the fence whether or not this was reached. */
export async function releaseFence(database: Database, claim: PoolClaim, token: number): Promise<void> {
  await database.transaction((db) => run(db, RELEASE, ownOf({ claim, token })), { lockTimeoutMs: TAKE_WAIT_MS });
}

/** The last holder has the pool again; undefined: somebody has taken it since. */
export async function takeBackFence(
  database: Database,
  claim: PoolClaim,
  token: number,
): Promise<PoolFence | undefined> {
  type Taken = { token: number; roster_version: number };
  const take = (db: Queryable) => run<Taken>(db, TAKE_BACK, ownOf({ claim, token }));
  const [row] = await database.transaction(take, { lockTimeoutMs: TAKE_WAIT_MS });
  return row && { token: row.token, rosterVersion: row.roster_version };
}

/** Crashes in a row that put a pool in quarantine. */
export const CRASH_LIMIT = 3;

/** Notes a crash; true when it was one too many, and the pool is now in quarantine. */
export async function recordCrash(database: Database, claim: PoolClaim, token: number, error: Error): Promise<boolean> {
  const own = ownOf({ claim, token });
  const [row] = await database.rows<{ crashes: number }>(CRASHED, [...own, storable(error.message, 1_000)]);
  if (!row || row.crashes < CRASH_LIMIT) return false;
  await database.rows(QUARANTINE, own);
  return true;
}
