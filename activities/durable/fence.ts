/**
 * The fence of a pool: the token that lets only its newest holder write. A shift takes it before its first fetch
 * (`shift/keep.ts`); every flush locks it and compares (`store/writer.ts`). Taking waits for a flush
 * that is under way and refuses every later one, whatever Temporal believes of the older attempt.
 */
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../failures';
import { run, type Database, type Queryable, type Statement } from '../store/database';
import { storable } from '../store/text';

/** Who wants the fence. Within one run only a greater (shift, attempt) may have it. */
export interface Claim {
  tracker: string;
  pool: number;
  runId: string;
  shift: number;
  attempt: number;
  node: string;
}

export interface Held {
  token: number;
  rosterVersion: number;
  /** Database time when it was taken, epoch milliseconds. */
  takenAt: number;
}

/** What a flush sees of a pool that it has locked. */
export interface LockedPool {
  tracker: string;
  pool: number;
  token: number;
  rosterVersion: number;
  reloadVersion: number;
}

const HOLDER_RUN: Statement = {
  name: 'fence-holder-run',
  text: `select run_id from longwatch.pool where tracker = $1 and pool = $2`,
};
/** $7 is the run that Temporal has declared over by saying that ours is the current one; null: none. */
const TAKE: Statement = {
  name: 'fence-take',
  text: `insert into longwatch.pool as p (tracker, pool, token, run_id, shift, attempt, node, taken_at)
         values ($1, $2, 1, $3, $4, $5, $6, now())
         on conflict (tracker, pool) do update
         set token = p.token + 1, run_id = excluded.run_id, shift = excluded.shift, attempt = excluded.attempt,
             node = excluded.node, taken_at = now(), released_at = null, quarantined_at = null,
             crashes = case when p.quarantined_at is null then p.crashes else 0 end
         where p.run_id is null
            or (p.run_id = excluded.run_id and (p.shift, p.attempt) < (excluded.shift, excluded.attempt))
            or (p.run_id <> excluded.run_id and p.run_id = $7)
         returning token::float8 as token, roster_version::float8 as roster_version,
                   (extract(epoch from now()) * 1000)::float8 as taken_at`,
};
/** FOR SHARE conflicts with taking, and with a change of the roster, but not with the flushes of other nodes. */
const LOCK: Statement = {
  name: 'fence-lock',
  text: `select p.tracker, p.pool, p.token::float8 as token, p.roster_version::float8 as roster_version,
                p.reload_version::float8 as reload_version
         from longwatch.pool p
         join unnest($1::text[], $2::int[]) as h (tracker, pool) on p.tracker = h.tracker and p.pool = h.pool
         order by p.tracker, p.pool
         for share of p`,
};
const RELEASE: Statement = {
  name: 'fence-release',
  text: `update longwatch.pool set released_at = now(), crashes = 0 where tracker = $1 and pool = $2 and token = $3`,
};
/** Crashes count as in a row when the shift had been kept for less than a minute. */
const CRASHED: Statement = {
  name: 'fence-crashed',
  text: `update longwatch.pool
         set crashes = case when taken_at < now() - interval '1 minute' then 1 else crashes + 1 end,
             last_error = $4, released_at = now()
         where tracker = $1 and pool = $2 and token = $3
         returning crashes`,
};
const QUARANTINE: Statement = {
  name: 'fence-quarantine',
  text: `update longwatch.pool set quarantined_at = now() where tracker = $1 and pool = $2 and token = $3`,
};

/**
 * Takes the fence, or throws Fenced. `isCurrent` asks Temporal whether the claim's run is the current one of its workflow; it is
 * only called when the holder is of another run (after a reset, a restart or continue-as-new), whose numbers say nothing.
 */
export async function takeFence(database: Database, claim: Claim, isCurrent: () => Promise<boolean>): Promise<Held> {
  for (let tries = 0; tries < 3; tries++) {
    const [holder] = await database.rows<{ run_id: string | null }>(HOLDER_RUN, [claim.tracker, claim.pool]);
    const other = holder?.run_id != null && holder.run_id !== claim.runId ? holder.run_id : null;
    if (other !== null && !(await isCurrent())) break;
    const rows = await database.rows<{ token: number; roster_version: number; taken_at: number }>(TAKE, [
      claim.tracker,
      claim.pool,
      claim.runId,
      claim.shift,
      claim.attempt,
      claim.node,
      other,
    ]);
    if (rows[0]) return { token: rows[0].token, rosterVersion: rows[0].roster_version, takenAt: rows[0].taken_at };
    // No row: either ours is the older claim, or the holder changed in between and is looked at again.
    if (other === null) break;
  }
  throw failure(
    ErrorType.Fenced,
    `pool ${claim.pool} of ${claim.tracker} has a newer holder than shift ${claim.shift}, attempt ${claim.attempt}`,
  );
}

/** Locks the fences until the transaction ends; what is missing or has another token is not ours. */
export async function lockFences(db: Queryable, pools: { tracker: string; pool: number }[]): Promise<LockedPool[]> {
  const rows = await run<{
    tracker: string;
    pool: number;
    token: number;
    roster_version: number;
    reload_version: number;
  }>(db, LOCK, [pools.map((p) => p.tracker), pools.map((p) => p.pool)]);
  return rows.map((row) => ({
    tracker: row.tracker,
    pool: row.pool,
    token: row.token,
    rosterVersion: row.roster_version,
    reloadVersion: row.reload_version,
  }));
}

/** Notes a clean end. The next shift takes the fence whether or not this was reached. */
export async function releaseFence(database: Database, claim: Claim, token: number): Promise<void> {
  await database.rows(RELEASE, [claim.tracker, claim.pool, token]);
}

/** Crashes in a row that put a pool in quarantine. */
export const CRASH_LIMIT = 3;

/** Notes a crash; true when it was one too many, and the pool is now in quarantine. */
export async function recordCrash(database: Database, claim: Claim, token: number, error: Error): Promise<boolean> {
  const [row] = await database.rows<{ crashes: number }>(CRASHED, [
    claim.tracker,
    claim.pool,
    token,
    storable(error.message, 1_000),
  ]);
  if (!row || row.crashes < CRASH_LIMIT) return false;
  await database.rows(QUARANTINE, [claim.tracker, claim.pool, token]);
  return true;
}
