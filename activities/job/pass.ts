/**
 * The `pass` activity: takes the job's fence, opens the tick or goes on with the one that is open, has the work done,
 * and closes the tick. Called by `workflows/job/job.ts`; the work is done by `regen.ts` and `sweep.ts`. The end of a
 * pass is decided here.
 *
 * The fence decides, not Temporal's reachability: a cancellation that core makes up because heartbeats cannot be
 * reported is not obeyed. The tick is finished, and whoever asks for it again is told what came of it.
 */
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import { ErrorType } from '../../workflows/lib/errors';
import { jobWorkflowId, type PassInput, type PassResult, type TickRequest } from '../../workflows/job/contract';
import { bandOf, countsTooMuch, leftOf } from '../../workflows/job/plan';
import type { JobOptions } from '../../workflows/job/options';
import { errorOf, failure } from '../lib/failures';
import { reach } from '../lib/points';
import { isOutage, type Database } from '../lib/database';
import { beginSweep } from './store/claims';
import { readJob, type JobRow } from './store/jobs';
import {
  abandonTick,
  clearFailed,
  closeTick,
  findTick,
  holdJob,
  insertRanges,
  insertTick,
  noteTickError,
  openTickOf,
  pauseTick,
  totalsOf,
  type OpenTick,
  type TickRange,
  type TickRow,
} from './store/ticks';
import { dueBetween } from './calendar';
import { readWorkTable, type TableFacts } from './catalog';
import { endAskedFor } from '../lib/cancelled';
import { takeJobFence } from './store/fence';
import { cutRanges, inChunks } from './regen';
import { withRule } from './statement';
import { sweep } from './sweep';
import { JobMeter } from './telemetry';
import {
  beginOf,
  StopSignal,
  fenced,
  lockMsOf,
  type PassContext,
  type PassHost,
  type TickOutcome,
} from './pass-context';
import { startHeartbeat } from '../lib/heartbeat';

export async function runPass(host: PassHost, input: PassInput): Promise<PassResult> {
  const began = performance.now();
  const { deps } = host;
  const { info } = Context.current();
  const log = deps.log.child({ job: input.job, pass: input.pass, attempt: info.attempt });
  if (host.isDraining) {
    throw failure(ErrorType.Declined, `node ${deps.nodeName} takes no more passes`, { nextRetryDelay: '100ms' });
  }
  const claim = {
    job: input.job,
    runId: info.workflowExecution!.runId,
    pass: input.pass,
    attempt: info.attempt,
    node: deps.nodeName,
  };
  const stopHeartbeat = startHeartbeat();
  const stopSignal = new StopSignal();
  const leave = host.join(input.job, stopSignal);
  const forget = watchForEnd(stopSignal, log);
  try {
    const isCurrent = () => deps.temporal.isCurrent(jobWorkflowId(input.job), claim.runId);
    const row = await readRunnable(host, input.job);
    const token = await takeJobFence(deps.database, claim, isCurrent);
    return await runTick(host, input, row, { token, began, stopSignal, log });
  } catch (error) {
    if ((error as { type?: unknown }).type !== ErrorType.Fenced) {
      await noteTrouble(deps.database, input.job, errorOf(error));
      throw error;
    }
    host.metrics.fenced.inc({ job: input.job });
    log.warn('a newer holder has the job; nothing more is written here');
    return unended('fenced', input.tick.due, deps.nodeName);
  } finally {
    stopHeartbeat();
    forget();
    leave();
  }
}

/**
 * The job's row, if this worker can do it. Looked at before the fence is taken: who cannot work must not take the job
 * from others.
 */
async function readRunnable(host: PassHost, job: string): Promise<JobRow> {
  const row = await host.deps.database.transaction((db) => readJob(db, job));
  if (!row) throw failure(ErrorType.UnknownJob, `there is no job ${job} in the database`);
  if (!host.defined.has(job, row.options)) {
    throw failure(ErrorType.NotDefinedHere, host.defined.why(job, row.options, host.deps.nodeName));
  }
  return row;
}

/** Shown by `status` while Temporal tries again. An outage of the database shows itself. */
async function noteTrouble(database: Database, job: string, error: Error): Promise<void> {
  if (isOutage(error)) return;
  await database.transaction((db) => noteTickError(db, job, error.message)).catch(() => undefined);
}

async function runTick(
  host: PassHost,
  input: PassInput,
  row: JobRow,
  { token, began, stopSignal, log }: { token: number; began: number; stopSignal: StopSignal; log: Logger },
): Promise<PassResult> {
  const { database, nodeName } = host.deps;
  const { job } = input;
  const options: JobOptions = { ...row.options, work: withRule(row.options.work) };
  const lockMs = await lockMsOf(database);
  const transaction: PassContext['transaction'] = (act) => database.transaction(act, beginOf(lockMs));
  const watched: PassContext['watched'] = (act) => transaction((db) => host.backends.watch(db, lockMs, () => act(db)));
  const table = await watched((db) => readWorkTable(db, options.work));
  const opened = await openTick(database, input, { token, watched }, options, table);
  if (opened === 'stopped') return unended(opened, input.tick.due, nodeName);
  if ('ended' in opened) return toResult(opened, nodeName);

  const meter = new JobMeter(job, host.metrics);
  const tick = opened;
  const streams = Math.min(options.concurrency, host.streams);
  const pass: PassContext = {
    job,
    token,
    node: nodeName,
    tick,
    options,
    streams,
    table,
    database,
    lockMs,
    transaction,
    watched,
    stopSignal,
    waits: (why) => noteTrouble(database, job, new Error(why)),
    meter,
    log,
  };
  log.info({ due: new Date(tick.due), elapsed: tick.elapsed, skipped: tick.skipped }, 'the tick begins');
  const done = await ofItsKind(host, pass, row.chunkRows);
  const ms = tick.ms + performance.now() - began;
  if (stopSignal.reason !== undefined && !done.complete) {
    await database.transaction((db) => pauseTick(db, job, performance.now() - began));
    log.info({ end: stopSignal.reason }, 'the pass ends before its tick');
    return unended(stopSignal.reason, tick.due, nodeName, ms);
  }
  return close(host, pass, done, ms);
}

function ofItsKind(host: PassHost, pass: PassContext, chunkRows: number | undefined): Promise<TickOutcome> {
  switch (pass.options.work.kind) {
    case 'regen':
    case 'decay':
      return inChunks(pass, chunkRows);
    case 'sweep':
      return sweep(pass, host.handlers.get(pass.job)!, host.effects);
  }
}

/**
 * The tick that is open in the database, else the one that is asked for; or what came of that one, when it has ended
 * before. A job that is stopped begins none: a pass may still be sent out between the commit of the stop and the answer
 * that its workflow waits for.
 */
async function openTick(
  database: Database,
  { job, tick: tick }: PassInput,
  { token, watched }: Pick<PassContext, 'token' | 'watched'>,
  options: JobOptions,
  table: TableFacts,
): Promise<OpenTick | (TickRow & { ended: boolean }) | 'stopped'> {
  const key = table.key.map(({ name }) => name);
  const other = (tick: TickRow | undefined): boolean => !!tick?.key && tick.key.join('\0') !== key.join('\0');
  const open = await database.transaction((db) => openTickOf(db, job));
  if (other(open)) {
    await reach('tick.other key');
    const why = `the table has another key than when the tick began (${key.join(', ')}); the tick ended where it was`;
    await database.transaction(async (db) => {
      // Another holder may have done so already, and has begun a tick along the new key.
      if (!(await holdJob(db, job, token))) return;
      if (other(await openTickOf(db, job))) await abandonTick(db, job, why);
    });
    throw fenced(job);
  }
  if (open) return withoutEnd(open);
  const ranges: TickRange[] =
    options.work.kind !== 'sweep'
      ? await watched((db) => cutRanges(db, table, options.chunk))
      : [{ part: 0, after: null, upto: null, done: false }];
  const left = await stillOwed(database, job, tick, options);
  return database.transaction(async (db) => {
    const held = await holdJob(db, job, token);
    if (!held) throw fenced(job);
    const before = await findTick(db, job, tick);
    if (before) return before.ended ? before : withoutEnd(before);
    // Older than what has ended, and forgotten: it was done.
    if (held.endedDue !== undefined && tick.due <= held.endedDue) return unknownTick(tick);
    if (held.state === 'stopped') return 'stopped';
    await insertTick(db, job, left, key);
    await insertRanges(db, job, token, ranges);
    if (options.kind === 'sweep') await beginSweep(db, job);
    else await clearFailed(db, job);
    return { ...left, ms: 0 };
  });
}

/**
 * The request without the intervals of ticks that have ended since it was made, and those of a pause. Counted outside
 * of a transaction: it may take a while.
 */
async function stillOwed(
  database: Database,
  job: string,
  tick: TickRequest,
  options: JobOptions,
): Promise<TickRequest> {
  const row = await database.transaction((db) => readJob(db, job));
  // Asked for before the pause, and not begun then: what it stands for fell due before.
  const settled = row?.settled !== undefined && row.settled < tick.due ? row.settled : row?.endedDue;
  if (!row || !countsTooMuch(tick, settled)) return tick;
  return leftOf(tick, await dueBetween(options, row.before, settled, tick.due));
}

async function close(host: PassHost, pass: PassContext, result: TickOutcome, ms: number): Promise<PassResult> {
  const { job, token, tick, options, database, meter, log } = pass;
  const band = bandOf(ms, options.warnAfterMs);
  const totals = await database.transaction(async (db) => {
    if (!(await holdJob(db, job, token))) throw fenced(job);
    const { unfinished, ...sums } = await totalsOf(db, job);
    // A part that was done while another one rested may be among what a crash of PostgreSQL has taken back.
    if (options.kind !== 'sweep' && unfinished > 0) {
      throw failure(ErrorType.StoreUnavailable, 'PostgreSQL has lost the newest commits in a crash; the tick goes on');
    }
    await closeTick(db, job, {
      ...sums,
      due: tick.due,
      ms,
      longestMs: meter.longestMs ?? null,
      roundTrips: meter.roundTrips(),
      band,
      error: result.error ?? null,
      chunkRows: result.chunkRows ?? null,
      keep: options.keep,
    });
    return sums;
  });
  host.metrics.ended(job, { ...totals, skipped: tick.skipped + Math.max(0, tick.elapsed - 1), ms, band });
  const facts = { ...totals, seconds: Number((ms / 1_000).toFixed(3)), band, longestMs: meter.longestMs };
  if (band === 'warning') log.warn(facts, `the tick took longer than ${options.warnAfterMs} ms`);
  else log.info(facts, 'the tick has ended');
  const { error, retryAt } = result;
  return { end: 'done', due: tick.due, ...pick(totals), ms, band, node: pass.node, error, retryAt };
}

/** Ends the pass where its end is asked for. @returns what lets go of the watch */
function watchForEnd(stopSignal: StopSignal, log: Logger): () => void {
  const context = Context.current();
  const onCancelled = (): void => {
    const details = context.cancellationDetails;
    const end = endAskedFor(details);
    if (end !== undefined) return stopSignal.end(end);
    log.warn({ details }, 'Temporal has let go of this pass; it goes on until another one takes the job');
  };
  context.cancellationSignal.addEventListener('abort', onCancelled, { once: true });
  if (context.cancellationSignal.aborted) onCancelled();
  return () => context.cancellationSignal.removeEventListener('abort', onCancelled);
}

/** The result of a pass whose tick has not ended by it: its rows are counted when the tick ends. */
const unended = (end: PassResult['end'], due: number, node: string, ms = 0): PassResult => ({
  end,
  due,
  rows: 0,
  failed: 0,
  ms,
  node,
});

const pick = ({ rows, failed }: { rows: number; failed: number }) => ({ rows, failed });

const withoutEnd = ({ due, elapsed, skipped, request, ms }: TickRow): OpenTick => ({
  due,
  elapsed,
  skipped,
  request,
  ms,
});

const unknownTick = (tick: TickRequest): TickRow => ({
  ...tick,
  ms: 0,
  rows: 0,
  failed: 0,
  band: null,
  error: null,
  ended: true,
});

function toResult(tick: TickRow, node: string): PassResult {
  const { due, rows, failed, ms, band, error } = tick;
  return { end: 'done', due, rows, failed, ms, band: band ?? undefined, node, error: error ?? undefined };
}
