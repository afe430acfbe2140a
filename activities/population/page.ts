/**
 * One page of a sweep through its `handle`: what came of it is written together with the end of the claim, and with what the handler
 * wrote through `tx`. Called by `sweep.ts`.
 *
 * A page that fails is halved, and its halves are handled at once, until the failing row is alone: it is tried again after a
 * wait, and after its last attempt it is a dead letter. The others are done. A `HoldError` puts the whole page back.
 */
import type { SweepContext, SweepDefinition, SweepRow } from '../../workers/config/population';
import { decide } from '../durable/retry';
import { LazyTransaction, type Transactions } from '../durable/transaction';
import { errorOf } from '../failures';
import { countRows, insertClaim, putBack, settleClaim, type Claim } from '../store/claims';
import { isOutage, type Queryable } from '../store/database';
import { noteFailedRow } from '../store/ticks';
import { boundedHold, HoldError } from '../upstream/errors';
import type { PassWork } from './work';

export interface Page {
  claim: Claim;
  /** Those that are due, and their keys in the same order. */
  rows: SweepRow[];
  keys: string[][];
  owner: string;
}

/** @returns pages to handle next: the halves of one that failed. */
export async function handlePage(
  work: PassWork,
  page: Page,
  handle: SweepDefinition['handle'],
  effects: Transactions,
  forMs: number,
): Promise<Page[]> {
  const began = performance.now();
  const controller = new AbortController();
  const timeout = setTimeout(
    () => controller.abort(new Error(`the page took longer than ${work.options.timeoutMs} ms`)),
    work.options.timeoutMs,
  );
  const tx = new LazyTransaction(effects, controller.signal);
  try {
    const again = page.rows.length === 0 ? [] : await call(work, page, handle, tx, controller.signal);
    const settle = (db: Queryable): Promise<void> => settled(db, work, page, again);
    if (tx.used) await tx.commit(settle);
    else await work.database.transaction(settle, work.begin);
    work.meter.chunk(page.rows.length - again.length, performance.now() - began);
    return [];
  } catch (thrown) {
    const error = errorOf(thrown);
    await tx.rollback(error.message);
    if (error instanceof Lost) {
      work.log.warn(
        { page: page.claim.page },
        'a page was claimed by another worker meanwhile; nothing was written for it',
      );
      return [];
    }
    if (isOutage(error)) throw error;
    return await failed(work, page, error, forMs);
  } finally {
    clearTimeout(timeout);
    // Code that listens stops; code that does not can write nothing more.
    controller.abort(new Error('the page is over'));
  }
}

/** @returns keys of rows that the handler wants again. */
async function call(
  work: PassWork,
  page: Page,
  handle: SweepDefinition['handle'],
  tx: LazyTransaction,
  signal: AbortSignal,
): Promise<string[][]> {
  const context: SweepContext = {
    job: work.job,
    due: new Date(work.tick.due),
    elapsed: work.tick.elapsed,
    attempt: page.claim.attempt,
    tx,
    signal,
    log: work.log,
  };
  const timedOut = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  const result = await Promise.race([Promise.resolve().then(() => handle(page.rows, context)), timedOut]);
  const retry = result?.retry ?? [];
  return retry.map((row) => {
    const index = page.rows.indexOf(row);
    if (index < 0) throw new Error('handle asked to retry a row that is not one of those that it was given');
    return page.keys[index]!;
  });
}

/** The end of a page: its claim is gone, or waits with the rows that are wanted again. */
async function settled(db: Queryable, work: PassWork, page: Page, again: string[][]): Promise<void> {
  const { job, token, options } = work;
  const done = page.rows.length - again.length;
  if (again.length === 0) {
    if (!(await settleClaim(db, page.claim, page.owner))) throw new Lost();
    return countRows(db, job, token, done, 0);
  }
  const error = new Error('handle asked for another attempt');
  const decision = decide(error, page.claim.attempt, options.retry);
  if (!decision.retry) {
    if (!(await settleClaim(db, page.claim, page.owner))) throw new Lost();
    for (const key of again) await dead(db, work, key, error, page.claim.attempt);
    return countRows(db, job, token, done, again.length);
  }
  const wait = { keys: again, usesAttempt: true, afterMs: decision.afterMs, error: error.message };
  if (!(await putBack(db, page.claim, page.owner, wait))) throw new Lost();
  await countRows(db, job, token, done, 0);
}

async function failed(work: PassWork, page: Page, error: Error, forMs: number): Promise<Page[]> {
  const { job, token, options, log, database } = work;
  const { claim, owner } = page;
  if (error instanceof HoldError) {
    const wait = { keys: page.keys, usesAttempt: false, afterMs: boundedHold(error.afterMs), error: error.message };
    await database.transaction((db) => putBack(db, claim, owner, wait), work.begin);
    return [];
  }
  if (page.rows.length > 1) {
    log.debug({ err: error, rows: page.rows.length }, 'a page failed; its halves are handled apart');
    return database.transaction(async (db) => {
      if (!(await settleClaim(db, claim, owner))) return [];
      const middle = Math.ceil(page.rows.length / 2);
      const halves: Page[] = [];
      for (const [from, upto] of [
        [0, middle],
        [middle, page.rows.length],
      ] as const) {
        const keys = page.keys.slice(from, upto);
        const half = await insertClaim(db, job, { keys, owner, attempt: claim.attempt, forMs });
        halves.push({ claim: half, rows: page.rows.slice(from, upto), keys, owner });
      }
      return halves;
    }, work.begin);
  }
  const decision = decide(error, claim.attempt, options.retry);
  await database.transaction(async (db) => {
    if (decision.retry) {
      const wait = { keys: page.keys, usesAttempt: true, afterMs: decision.afterMs, error: error.message };
      await putBack(db, claim, owner, wait);
      return;
    }
    if (!(await settleClaim(db, claim, owner))) return;
    await dead(db, work, page.keys[0]!, error, claim.attempt);
    await countRows(db, job, token, 0, 1);
  }, work.begin);
  const key = page.keys[0]!.join(', ');
  if (decision.retry) log.debug({ err: error, key }, 'a row failed; it is tried again');
  else log.warn({ err: error, key, attempts: claim.attempt }, 'a row failed for good; it is a dead letter now');
  return [];
}

async function dead(db: Queryable, work: PassWork, key: string[], error: Error, attempts: number): Promise<void> {
  const code = (error as { code?: unknown }).code;
  await noteFailedRow(db, work.job, {
    key,
    due: work.tick.due,
    error: error.message,
    code: typeof code === 'string' ? code : undefined,
    attempts,
  });
}

/** The claim ran out, and somebody else has the page. */
class Lost extends Error {}
