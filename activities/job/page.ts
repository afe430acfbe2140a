/**
 * One page of a sweep through its `handle`: what came of it is written together with the end of the claim, and with
 * what the handler wrote through `tx`. Called by `sweep.ts`.
 *
 * A page that fails is halved, and its halves are handled at once, until the failing row is alone: it is tried again
 * after a wait, and after its last attempt it is a dead letter. The others are done. A `HoldError` puts the whole page
 * back, and so does whoever was in its way: a lock that somebody holds, a worker that ends; these use no attempt.
 */
import type { SweepContext, SweepDefinition, SweepRow } from '../../config/define/job';
import { decide } from '../durable/retry';
import { LazyTransaction, type Transactions } from '../durable/transaction';
import { errorOf } from '../lib/failures';
import { countRows, holdSweep, insertClaim, putBack, settleClaim, type PageClaim } from './store/claims';
import { isOutage, type Queryable } from '../lib/database';
import { classOf } from '../lib/sqlstate';
import { noteFailedRow } from './store/ticks';
import { boundedHold, HoldError } from '../../config/define/errors';
import type { PassContext } from './pass-context';

/** The time that a handler has left when its pass is to end. Milliseconds. */
const ENDING_MS = 2_000;

export interface SweepPage {
  claim: PageClaim;
  /** The rows that are due, and their keys in the same order. */
  rows: SweepRow[];
  keys: string[][];
  owner: string;
}

/** @returns pages to handle next: the halves of one that failed. */
export async function handlePage(
  pass: PassContext,
  page: SweepPage,
  handle: SweepDefinition['handle'],
  effects: Transactions,
  claims: { forMs: number; hold: { begin(forMs: number, why: string): Promise<void> } },
): Promise<SweepPage[]> {
  const { lockMs, options, stopSignal } = pass;
  const began = performance.now();
  const controller = new AbortController();
  const timeout = setTimeout(
    () => controller.abort(new Error(`the page took longer than ${options.timeoutMs} ms`)),
    options.timeoutMs,
  );
  // A pass that is to end waits for its pages for a moment only.
  let leaving: NodeJS.Timeout | undefined;
  const leave = (): void => {
    leaving ??= setTimeout(() => controller.abort(new PassEnds()), ENDING_MS);
  };
  stopSignal.signal.addEventListener('abort', leave, { once: true });
  if (stopSignal.signal.aborted) leave();
  const tx = new LazyTransaction(effects, controller.signal, {
    entered: true,
    // Whatever becomes of this worker, the server ends it in time; and it is never a player who must give way.
    begin: () => {
      const left = Math.max(1, Math.ceil(options.timeoutMs - (performance.now() - began)));
      return { statementTimeoutMs: left, lockTimeoutMs: lockMs, idleTimeoutMs: left + 1_000 };
    },
  });
  try {
    const again = page.rows.length === 0 ? [] : await call(pass, page, handle, tx, controller.signal);
    const settle = (db: Queryable): Promise<void> => settled(db, pass, page, again);
    if (tx.used) await tx.commit(settle);
    else await pass.transaction(settle);
    pass.meter.chunk(page.rows.length - again.length, performance.now() - began);
    return [];
  } catch (thrown) {
    const error = errorOf(thrown);
    await tx.rollback(error.message);
    if (error instanceof Lost) {
      pass.log.warn(
        { page: page.claim.page },
        'a page was claimed by another worker meanwhile; nothing was written for it',
      );
      return [];
    }
    if (isOutage(error)) throw error;
    return await failed(pass, page, error, claims);
  } finally {
    clearTimeout(timeout);
    clearTimeout(leaving);
    stopSignal.signal.removeEventListener('abort', leave);
    // Code that listens stops; code that does not can write nothing more.
    controller.abort(new Error('the page is over'));
  }
}

/** @returns keys of rows that the handler wants again. */
async function call(
  pass: PassContext,
  page: SweepPage,
  handle: SweepDefinition['handle'],
  tx: LazyTransaction,
  signal: AbortSignal,
): Promise<string[][]> {
  const context: SweepContext = {
    job: pass.job,
    due: new Date(pass.tick.due),
    elapsed: pass.tick.elapsed,
    attempt: page.claim.attempt,
    tx,
    signal,
    log: pass.log,
  };
  const timedOut = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  // A list of its own, which it may sort and empty: what failed is found, and noted, by the page's.
  const given = [...page.rows];
  const result = await Promise.race([Promise.resolve().then(() => handle(given, context)), timedOut]);
  const retry = new Set(result?.retry ?? []);
  return [...retry].map((row) => {
    const index = page.rows.indexOf(row);
    if (index < 0) throw new Error('handle asked to retry a row that is not one of those that it was given');
    return page.keys[index]!;
  });
}

/** The end of a page: its claim is gone, or waits with the rows that are wanted again. */
async function settled(db: Queryable, pass: PassContext, page: SweepPage, again: string[][]): Promise<void> {
  const { job, token, options } = pass;
  const done = page.rows.length - again.length;
  if (again.length === 0) {
    if (!(await settleClaim(db, page.claim, page.owner))) throw new Lost();
    return void (await countRows(db, job, token, done, 0));
  }
  const error = new Error('handle asked for another attempt');
  const decision = decide(error, page.claim.attempt, options.retry);
  if (!decision.retry) {
    if (!(await settleClaim(db, page.claim, page.owner))) throw new Lost();
    for (const key of again) await dead(db, pass, key, error, page.claim.attempt);
    return void (await countRows(db, job, token, done, again.length));
  }
  const wait = { keys: again, usesAttempt: true, afterMs: decision.afterMs, error: error.message };
  if (!(await putBack(db, page.claim, page.owner, wait))) throw new Lost();
  await countRows(db, job, token, done, 0);
}

/** Decides what becomes of a page that failed. @returns pages to handle next: its halves. */
async function failed(
  pass: PassContext,
  page: SweepPage,
  error: Error,
  { forMs, hold }: Parameters<typeof handlePage>[4],
): Promise<SweepPage[]> {
  const { options, log } = pass;
  if (error instanceof PassEnds) {
    await putBackWhole(pass, page, 0, error);
    return [];
  }
  if (error instanceof HoldError) {
    await held(pass, page, error, hold);
    return [];
  }
  if (page.rows.length > 1) {
    log.debug({ err: error, rows: page.rows.length }, 'a page failed; its halves are handled apart');
    return halve(pass, page, forMs);
  }
  if (page.rows.length === 1 && inTheWay(error)) {
    log.debug(
      { err: error, key: page.keys[0]!.join(', ') },
      'somebody holds what the handler needs; it is tried again',
    );
    await putBackWhole(pass, page, Math.min(options.retry.capMs, options.retry.baseMs), error);
    return [];
  }
  await rowFailed(pass, page, error);
  return [];
}

/** The page comes again, and no attempt is used. */
async function putBackWhole(pass: PassContext, page: SweepPage, afterMs: number, error: Error): Promise<void> {
  const wait = { keys: page.keys, usesAttempt: false, afterMs, error: error.message };
  await pass.transaction((db) => putBack(db, page.claim, page.owner, wait));
}

/** The handler asks to wait: this page, or the whole sweep. */
async function held(
  pass: PassContext,
  page: SweepPage,
  error: HoldError,
  hold: { begin(forMs: number, why: string): Promise<void> },
): Promise<void> {
  const afterMs = boundedHold(error.afterMs);
  await putBackWhole(pass, page, afterMs, error);
  if (error.scope === 'member') return;
  await pass.transaction((db) => holdSweep(db, pass.job, pass.token, { forMs: afterMs, why: error.message }));
  await hold.begin(afterMs, error.message);
}

/** Two claims in place of one. @returns none where somebody else has the page */
function halve(pass: PassContext, page: SweepPage, forMs: number): Promise<SweepPage[]> {
  const { claim, owner } = page;
  return pass.transaction(async (db) => {
    if (!(await settleClaim(db, claim, owner))) return [];
    const middle = Math.ceil(page.rows.length / 2);
    const halves: SweepPage[] = [];
    for (const [from, upto] of [
      [0, middle],
      [middle, page.rows.length],
    ] as const) {
      const keys = page.keys.slice(from, upto);
      const half = await insertClaim(db, pass.job, { keys, owner, attempt: claim.attempt, forMs });
      halves.push({ claim: half, rows: page.rows.slice(from, upto), keys, owner });
    }
    return halves;
  });
}

/** One row by itself: it is tried again, or it is a dead letter. */
async function rowFailed(pass: PassContext, page: SweepPage, error: Error): Promise<void> {
  const { job, token, options, log } = pass;
  const { claim, owner } = page;
  const decision = decide(error, claim.attempt, options.retry);
  await pass.transaction(async (db) => {
    if (decision.retry) {
      const wait = { keys: page.keys, usesAttempt: true, afterMs: decision.afterMs, error: error.message };
      await putBack(db, claim, owner, wait);
      return;
    }
    if (!(await settleClaim(db, claim, owner))) return;
    await dead(db, pass, page.keys[0]!, error, claim.attempt);
    await countRows(db, job, token, 0, 1);
  });
  const key = page.keys[0]!.join(', ');
  if (decision.retry) log.debug({ err: error, key }, 'a row failed; it is tried again');
  else log.warn({ err: error, key, attempts: claim.attempt }, 'a row failed for good; it is a dead letter now');
}

async function dead(db: Queryable, pass: PassContext, key: string[], error: Error, attempts: number): Promise<void> {
  const code = (error as { code?: unknown }).code;
  await noteFailedRow(db, pass.job, {
    key,
    due: pass.tick.due,
    error: error.message,
    code: typeof code === 'string' ? code : undefined,
    attempts,
  });
}

/** Two transactions in each other's way, also where the handler has put that into an error of its own. */
function inTheWay(error: unknown): boolean {
  let at = error;
  for (let depth = 0; depth < 10 && at instanceof Error; depth++, at = at.cause) {
    if (classOf(at) === 'conflict') return true;
  }
  return false;
}

/** The pass is to end, and the handler has not returned in time. */
class PassEnds extends Error {
  override readonly message = 'the pass ends';
}

/** The claim ran out, and somebody else has the page. */
class Lost extends Error {}
