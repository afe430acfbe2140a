/**
 * Claims of a sweep: pages of rows that are being handled, or wait for another attempt. A claim is in force until its
 * time; whoever settles it must still own that attempt. Written by `sweep.ts`.
 */
import { run, type Queryable, type Statement } from '../../lib/database';
import { storable } from '../../../workflows/lib/text';
import { ms } from '../../lib/sql';

/** The columns of a row's key, as text. */
export type Key = string[];

export interface PageClaim {
  page: number;
  keys: Key[];
  attempt: number;
}

const INSERT: Statement = {
  name: 'claim-insert',
  text: `insert into longwatch.claim (job, keys, owner, attempt, until)
         values ($1, $2, $3, $4, now() + make_interval(secs => $5::float8 / 1000))
         returning page::float8 as page`,
};
/** A claim whose owner let its time pass has used its attempt. */
const TAKE: Statement = {
  name: 'claim-take',
  text: `update longwatch.claim c
         set owner = $2, attempt = c.attempt + (c.owner <> '')::int, until = now() + make_interval(secs => $3::float8 / 1000)
         where c.page = (select page from longwatch.claim where job = $1 and until <= now() order by until limit 1
                         for update skip locked)
         returning c.page::float8 as page, c.keys, c.attempt`,
};
const SETTLE: Statement = {
  name: 'claim-settle',
  text: `delete from longwatch.claim where page = $1 and owner = $2 and attempt = $3 and until > now() returning page`,
};
const PUT_BACK: Statement = {
  name: 'claim-put-back',
  text: `update longwatch.claim
         set keys = $4, owner = '', attempt = attempt + $5::int, until = now() + make_interval(secs => $6::float8 / 1000), error = $7
         where page = $1 and owner = $2 and attempt = $3 and until > now() returning page`,
};
/** Only the holder of the job's token counts. */
const COUNT: Statement = {
  name: 'claim-count',
  text: `update longwatch.tick_range set rows = rows + $3, chunks = chunks + $5::int, failed = failed + $4
         where job = $1 and part = 0 and token = $2 returning part`,
};
/** Rows that no handler was given, for what the sweep asks of them fails: those of earlier ticks are asked again. */
const UNASKED: Statement = {
  name: 'claim-unasked',
  text: `select key, due < to_timestamp($2::float8 / 1000) as earlier from longwatch.failed_row where job = $1 and attempts = 0`,
};
const ANSWERED: Statement = {
  name: 'claim-answered',
  text: `delete from longwatch.failed_row
         where job = $1 and attempts = 0 and hash_array_extended(key, 0) = hash_array_extended($2::text[], 0)
           and hash_array_extended(key, 1) = hash_array_extended($2::text[], 1)`,
};
/** Keys that the open tick may not claim: those that were claimed when it began. */
const FORGET_SWEPT: Statement = { name: 'claim-forget-swept', text: `delete from longwatch.swept where job = $1` };
const SWEPT_BEFORE: Statement = {
  name: 'claim-swept-before',
  text: `insert into longwatch.swept (job, h0, h1)
         select c.job, hash_array_extended(k.key, 0), hash_array_extended(k.key, 1)
         from longwatch.claim c, jsonb_array_elements(c.keys) as e (key),
              lateral (select array(select jsonb_array_elements_text(e.key))) as k (key)
         where c.job = $1 on conflict do nothing`,
};
/**
 * The rows that it claims: rows whose order has changed come to the place of a claim again, and are not among the fresh
 * ones.
 */
const CLAIM: Statement = {
  name: 'claim-fresh',
  text: `with k as (
           select e.key, e.n::int as n, hash_array_extended(a.key, 0) as h0, hash_array_extended(a.key, 1) as h1
           from jsonb_array_elements($2::jsonb) with ordinality as e (key, n),
                lateral (select array(select jsonb_array_elements_text(e.key))) as a (key)),
         noted as (
           insert into longwatch.swept (job, h0, h1) select $1, h0, h1 from k on conflict do nothing returning h0, h1),
         fresh as (select k.key, k.n from k join noted using (h0, h1)),
         made as (
           insert into longwatch.claim (job, keys, owner, attempt, until)
           select $1, (select jsonb_agg(key order by n) from fresh), $3, 1, now() + make_interval(secs => $4::float8 / 1000)
           where exists (select from fresh) returning page)
         select (select page from made)::float8 as page, array(select n from fresh order by n) as fresh`,
};
const HOLD: Statement = {
  name: 'claim-hold',
  text: `update longwatch.job
         set held_until = greatest(held_until, now() + make_interval(secs => $3::float8 / 1000)), held_why = $4
         where name = $1 and token = $2`,
};
const HELD: Statement = {
  name: 'claim-held',
  text: `select ${ms('held_until - clock_timestamp()')} as for_ms, held_why as why
         from longwatch.job where name = $1`,
};
const RELEASE: Statement = {
  name: 'claim-release',
  text: `update longwatch.job set held_until = null, held_why = null where name = $1 and held_until is not null`,
};
const NEXT: Statement = {
  name: 'claim-next',
  text: `select ${ms('min(until) - clock_timestamp()')} as in_ms
         from longwatch.claim where job = $1`,
};

export async function insertClaim(
  db: Queryable,
  job: string,
  claim: { keys: Key[]; owner: string; attempt: number; forMs: number },
): Promise<PageClaim> {
  const { keys, owner, attempt, forMs } = claim;
  const [row] = await run<{ page: number }>(db, INSERT, [job, JSON.stringify(keys), owner, attempt, forMs]);
  return { page: row!.page, keys, attempt };
}

/** A claim whose time has come: to be tried again, or left by an owner that is gone. */
export async function takeClaim(
  db: Queryable,
  job: string,
  owner: string,
  forMs: number,
): Promise<PageClaim | undefined> {
  return (await run<PageClaim & Record<string, unknown>>(db, TAKE, [job, owner, forMs]))[0];
}

/** False: it is no longer this owner's, and nothing may be written for it. */
export async function settleClaim(db: Queryable, claim: PageClaim, owner: string): Promise<boolean> {
  return (await run(db, SETTLE, [claim.page, owner, claim.attempt])).length > 0;
}

/** These keys of it are to be handled again, later. */
export async function putBack(
  db: Queryable,
  claim: PageClaim,
  owner: string,
  again: { keys: Key[]; usesAttempt: boolean; afterMs: number; error: string },
): Promise<boolean> {
  const { keys, usesAttempt, afterMs, error } = again;
  const values = [claim.page, owner, claim.attempt, JSON.stringify(keys), usesAttempt, afterMs, storable(error, 2_000)];
  return (await run(db, PUT_BACK, [...values.slice(0, 4), usesAttempt ? 1 : 0, ...values.slice(5)])).length > 0;
}

/** @returns false when another holder has the job. @param chunks 0 where no page was handled */
export async function countRows(
  db: Queryable,
  job: string,
  token: number,
  rows: number,
  failed: number,
  chunks = 1,
): Promise<boolean> {
  return (await run(db, COUNT, [job, token, rows, failed, chunks])).length > 0;
}

/**
 * Rows on which the sweep's own conditions have failed: reported with no attempt. `earlier`: in a tick before this one.
 */
export async function unaskedRows(db: Queryable, job: string, due: number): Promise<{ key: Key; earlier: boolean }[]> {
  return run<{ key: Key; earlier: boolean }>(db, UNASKED, [job, due]);
}

/** It can be asked by now. */
export async function forgetUnasked(db: Queryable, job: string, key: Key): Promise<void> {
  await run(db, ANSWERED, [job, key]);
}

/** A tick begins: what is claimed stays with those who have it, all other rows can be claimed once. */
export async function beginSweep(db: Queryable, job: string): Promise<void> {
  await run(db, FORGET_SWEPT, [job]);
  await run(db, SWEPT_BEFORE, [job]);
}

/**
 * A claim of those rows that this tick has not claimed yet; undefined when there is none among them. @returns which,
 * from 0
 */
export async function claimFresh(
  db: Queryable,
  job: string,
  { keys, owner, forMs }: { keys: Key[]; owner: string; forMs: number },
): Promise<{ claim: PageClaim; fresh: number[] } | undefined> {
  const [row] = await run<{ page: number | null; fresh: number[] }>(db, CLAIM, [
    job,
    JSON.stringify(keys),
    owner,
    forMs,
  ]);
  if (row?.page == null) return undefined;
  const fresh = row.fresh.map((n) => n - 1);
  return { claim: { page: row.page, keys: fresh.map((index) => keys[index]!), attempt: 1 }, fresh };
}

/** Nothing of the sweep is handled before: the upstream of its handler asked for that. */
export async function holdSweep(
  db: Queryable,
  job: string,
  token: number,
  hold: { forMs: number; why: string },
): Promise<void> {
  await run(db, HOLD, [job, token, hold.forMs, storable(hold.why, 2_000)]);
}

/** Undefined: it is not held. */
export async function heldFor(db: Queryable, job: string): Promise<{ ms: number; why: string } | undefined> {
  const [row] = await run<{ for_ms: number | null; why: string | null }>(db, HELD, [job]);
  return row?.for_ms != null && row.for_ms > 0 ? { ms: row.for_ms, why: row.why ?? '' } : undefined;
}

/** A start of the job lifts what it was held by. */
export async function releaseSweep(db: Queryable, job: string): Promise<void> {
  await run(db, RELEASE, [job]);
}

/** Milliseconds until the next claim's time has come; undefined when there is none. */
export async function nextClaimIn(db: Queryable, job: string): Promise<number | undefined> {
  return (await run<{ in_ms: number | null }>(db, NEXT, [job]))[0]?.in_ms ?? undefined;
}
