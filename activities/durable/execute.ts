/**
 * One execution of a durable activity, from Temporal's call to its answer: look for a stored result, take the lease, run the
 * code under its lease and timeout, settle in the effect's transaction, or say what follows. Called by `index.ts`; the rows are
 * `tasks.ts`, what is retried `retry.ts`, what a refusal means `outcomes.ts`.
 */
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { Logger } from 'pino';
import type { ActivityContext } from '../../workers/config/activity';
import { KEEP_WITHOUT_KEY_MS, type DurableOptions, type Envelope } from '../../workflows/lib/durable';
import { ErrorType } from '../../workflows/lib/errors';
import { errorOf, failure } from '../failures';
import { isOutage, type Database } from '../store/database';
import type { Key, KeyWaiter } from './keys';
import { type LeaseKeeper, type Lease, retryAfterMs } from './leases';
import { FencedError } from './outcomes';
import { inlineOrReference, serialize } from './references';
import { decide } from './retry';
import {
  attemptNotStarted,
  endRun,
  settleTask,
  takeTask,
  type Claim,
  type Settlement,
  type StoredError,
  type Taken,
  type TaskSpec,
} from './tasks';
import type { DurableTelemetry, Subject } from './telemetry';
import { LazyTransaction, type Transactions } from './transaction';

/** What an execution needs of its node. */
export interface Kit {
  owner: string;
  database: Database;
  transactions: Transactions;
  leases: LeaseKeeper;
  waiter: KeyWaiter;
  telemetry: DurableTelemetry;
  log: Logger;
  /** Whether a run is the current one of its workflow, as Temporal says. */
  isCurrent: (workflowId: string, runId: string) => Promise<boolean>;
}

/** Where Temporal's side comes in: cancellation, and which kind of it. */
export interface Caller {
  signal: AbortSignal;
  details: () => { cancelRequested: boolean; workerShutdown: boolean; paused: boolean; reset: boolean } | undefined;
}

/** One call. */
export interface Job {
  subject: Omit<Subject, 'executor' | 'attempt'>;
  options: DurableOptions;
  key: Key | null;
  resource: string | null;
  details: TaskSpec['details'];
  undo: boolean;
  run: (context: ActivityContext) => unknown;
}

/** The lease is renewed before the code starts where more than this has passed since it was asked for. Milliseconds. */
const START_GAP_MS = 500;
/** How long a caller waits in its slot for the first one of its key; then Temporal waits. */
const KEY_PATIENCE_MS = 30_000;
const MAX_DELAY_MS = 10_000;

export async function execute(kit: Kit, job: Job, caller: Caller): Promise<Envelope> {
  const execution = new Execution(kit, job, caller);
  const taken = await execution.take();
  return 'envelope' in taken ? taken.envelope : execution.attempt(taken);
}

class Execution {
  private readonly spec: TaskSpec;

  constructor(
    private readonly kit: Kit,
    private readonly job: Job,
    private readonly caller: Caller,
  ) {
    const { subject, options, key } = job;
    this.spec = {
      task: subject.task,
      activity: subject.activity,
      kind: subject.kind,
      workflowId: subject.workflow,
      runId: subject.run,
      ttlMs: options.lease.ttlMs,
      attempts: options.retry.attempts,
      resource: job.resource,
      key,
      keepFailure: options.keepFailure,
      retentionMs: key === null ? KEEP_WITHOUT_KEY_MS : options.keepMs,
      details: job.details,
    };
  }

  // ── Before the code ──

  async take(): Promise<{ envelope: Envelope } | { claim: Claim; lease: Lease; lastError: StoredError | null }> {
    const { kit, spec } = this;
    const patience = performance.now() + KEY_PATIENCE_MS;
    let endedRun: string | null = null;
    for (;;) {
      const sentAt = performance.now();
      const taken: Taken = await takeTask(kit.database, spec, kit.owner, endedRun);
      switch (taken.outcome) {
        case 'run': {
          const lease = kit.leases.keep(taken.claim, this.job.options.lease.renewMs, sentAt);
          if (performance.now() - sentAt > START_GAP_MS) await this.renewBeforeStart(taken.claim, lease);
          return { claim: taken.claim, lease, lastError: taken.lastError };
        }
        case 'done':
          this.emit({ event: 'hit', source: taken.source });
          return { envelope: this.envelope(taken.source, taken.result) };
        case 'failed':
          throw this.failed(taken.error);
        case 'exhausted':
          this.emit({ event: 'failed', durationMs: 0, error: taken.error.message }, taken.used);
          throw this.failed(taken.error);
        case 'key_held':
          if (performance.now() > patience) throw this.notRun(taken.outcome, taken.owner, taken.waitMs);
          await kit.waiter.wait(spec.key!, taken.waitMs, this.caller.signal);
          this.caller.signal.throwIfAborted();
          break;
        case 'held':
        case 'resource_held':
          throw this.notRun(taken.outcome, taken.owner, taken.waitMs);
        case 'run_mismatch':
          if (endedRun !== taken.holder && (await kit.isCurrent(spec.workflowId, spec.runId))) {
            endedRun = taken.holder;
            break;
          }
          throw this.discarded('run_mismatch');
        case 'run_not_active':
        case 'discarded':
          throw this.discarded(taken.outcome);
      }
    }
  }

  /** The take itself was slow, or this process was: is the lease still ours? Where it is not, the attempt is not used. */
  private async renewBeforeStart(claim: Claim, lease: Lease): Promise<void> {
    if (await lease.renew()) return;
    await attemptNotStarted(this.kit.database, claim.spec.task).catch(() => undefined);
    throw this.notRun('lost before it ran', this.kit.owner, 0, claim.used);
  }

  // ── The code ──

  async attempt({
    claim,
    lease,
    lastError,
  }: {
    claim: Claim;
    lease: Lease;
    lastError: StoredError | null;
  }): Promise<Envelope> {
    const { kit, job } = this;
    const began = performance.now();
    this.emit({ event: 'started' }, claim.used);
    const stop = new AbortController();
    const unlisten = this.listen(stop, lease);
    const tx = new LazyTransaction(kit.transactions, stop.signal);
    let done = false;
    try {
      const result = await this.race(stop.signal, () => job.run(this.context(claim, tx, stop.signal, lastError)));
      const text = serialize(job.subject.activity, result);
      await this.complete(claim, lease, tx, text);
      done = true;
      this.emit({ event: 'completed', durationMs: performance.now() - began }, claim.used);
      return this.envelope(claim.spec.task, result, text);
    } catch (thrown) {
      const error = errorOf(thrown);
      if (!stop.signal.aborted) stop.abort(error);
      await tx.rollback(error.message);
      throw await this.ended(claim, lease, error, performance.now() - began, tx.used);
    } finally {
      unlisten();
      lease.release();
      if (!done) stop.abort();
    }
  }

  private context(
    claim: Claim,
    tx: LazyTransaction,
    signal: AbortSignal,
    lastError: StoredError | null,
  ): ActivityContext {
    const { subject, options, key } = this.job;
    const { task, activity, workflow } = subject;
    const log = this.kit.log;
    return {
      tx,
      signal,
      attempt: claim.used,
      attempts: options.retry.attempts,
      task,
      key: key?.text ?? task,
      lastError: lastError ?? undefined,
      get log() {
        return log.child({ workflow, task, activity, attempt: claim.used });
      },
    };
  }

  /** Everything that can stop the code, turned into one signal. */
  private listen(stop: AbortController, lease: Lease): () => void {
    const { caller, job, kit, spec } = this;
    const timer = setTimeout(() => {
      stop.abort(failure(ErrorType.ActivityTimeout, `it took longer than ${job.options.timeoutMs} ms`));
    }, job.options.timeoutMs);
    timer.unref();
    const onLost = () => stop.abort(lease.lost.reason);
    const onCancelled = () => {
      const details = caller.details();
      if (details?.cancelRequested) return stop.abort(new CancelledFailure('the workflow cancelled the activity'));
      if (details?.workerShutdown) return stop.abort(new HandBack('the worker shuts down'));
      if (details?.paused || details?.reset) return stop.abort(new HandBack('it was paused or reset'));
      // Heartbeats could not be reported, or Temporal has given the attempt up. The lease decides; only a run that is over ends it.
      kit.isCurrent(spec.workflowId, spec.runId).then(
        async (current) => {
          if (current) return;
          await endRun(kit.database, spec.workflowId, spec.runId);
          stop.abort(new FencedError('run_not_active'));
        },
        () => undefined,
      );
    };
    lease.lost.addEventListener('abort', onLost, { once: true });
    caller.signal.addEventListener('abort', onCancelled, { once: true });
    if (lease.lost.aborted) onLost();
    if (caller.signal.aborted) onCancelled();
    return () => {
      clearTimeout(timer);
      lease.lost.removeEventListener('abort', onLost);
      caller.signal.removeEventListener('abort', onCancelled);
    };
  }

  /** The code's result, or the reason of the signal as soon as it fires: code that goes on is not waited for. */
  private race(signal: AbortSignal, run: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stopped = () => reject(signal.reason as Error);
      signal.addEventListener('abort', stopped, { once: true });
      if (signal.aborted) return stopped();
      Promise.resolve()
        .then(run)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', stopped));
    });
  }

  /** The fence, the stored result and the effect, all at once; by itself where the effect is not in the database. */
  private async complete(claim: Claim, lease: Lease, tx: LazyTransaction, text: string): Promise<void> {
    const settlement: Settlement = { to: 'completed', result: text };
    if (tx.used) {
      await tx.commit(async (db) => {
        const { reason } = await settleTask(db, claim, settlement);
        if (reason !== null) throw new FencedError(reason);
      });
      return;
    }
    // The effect is outside and has happened: an outage now must not make it happen again.
    const { reason } = await this.persist(claim, lease, settlement);
    if (reason !== null) throw new FencedError(reason);
  }

  // ── After the code ──

  /** Settles what did not complete. @returns what to throw. */
  private async ended(claim: Claim, lease: Lease, error: Error, durationMs: number, inTx: boolean): Promise<Error> {
    const { options } = this.job;
    if (error instanceof FencedError) return this.fenced(claim, lease, error);
    if (lease.lost.aborted) return this.fenced(claim, lease, new FencedError(await this.reasonOf(claim)));
    if (error instanceof HandBack) {
      await this.persist(claim, lease, { to: 'waiting', error: stored(error), unused: inTx });
      return handedBack(error.message);
    }
    if (isOutage(error) && inTx) {
      // Nothing of it is there, unless the commit itself was: then the task is not leased any more, and its result is.
      const { reason } = await this.persist(claim, lease, { to: 'waiting', unused: true });
      return handedBack(reason === null ? error.message : 'the end of its transaction was not seen');
    }
    const decision = error instanceof CancelledFailure ? undefined : decide(error, claim.used, options.retry);
    if (decision?.retry) {
      const settled = await this.persist(claim, lease, {
        to: 'waiting',
        error: stored(error),
        retryMs: decision.afterMs,
      });
      if (settled.reason !== null) return this.fenced(claim, lease, new FencedError(settled.reason));
      const retryAt = settled.retryAtMs === null ? null : new Date(settled.retryAtMs).toISOString();
      const nextAttempt = claim.used + 1;
      this.emit({ event: 'retried', durationMs, nextAttempt, retryAt, error: error.message }, claim.used);
      return retryable(error, decision.afterMs);
    }
    const settled = await this.persist(claim, lease, { to: 'failed', error: stored(error) });
    if (settled.reason !== null) return this.fenced(claim, lease, new FencedError(settled.reason));
    this.emit({ event: 'failed', durationMs, error: error.message }, claim.used);
    return error instanceof CancelledFailure ? error : this.failed(stored(error), error);
  }

  /** The four outcomes of a refused write. */
  private async fenced(claim: Claim, lease: Lease, error: FencedError): Promise<Error> {
    const action = error.outcome;
    if (action === 'raise') return error;
    this.emit({ event: 'fenced', action, reason: error.reason }, claim.used);
    if (action === 'drop') return handedBack(error.message);
    const to = action === 'hand back' ? 'waiting' : 'discarded';
    await this.persist(claim, lease, { to, error: stored(error), unused: to === 'waiting', lenient: true });
    return action === 'hand back' ? handedBack(error.message) : failure(ErrorType.Discarded, error.message);
  }

  /** Why the fence refuses this claim now; an unknown end counts as an expired lease, which the next attempt finds out. */
  private async reasonOf(claim: Claim): Promise<string> {
    try {
      const lost = await this.kit.leases.reasonOf(claim);
      return lost ?? 'lease_expired';
    } catch {
      return 'lease_expired';
    }
  }

  /** Settles, through an outage of the database, for as long as nobody else can have the lease. */
  private async persist(
    claim: Claim,
    lease: Lease,
    settlement: Settlement,
  ): Promise<{ reason: string | null; retryAtMs: number | null }> {
    for (;;) {
      try {
        return await settleTask(this.kit.database, claim, settlement);
      } catch (error) {
        if (!isOutage(error) || !lease.fresh) throw error;
        await new Promise((resolve) => setTimeout(resolve, retryAfterMs(this.job.options.lease.renewMs)));
      }
    }
  }

  // ── What is told ──

  private emit(event: Parameters<DurableTelemetry['emit']>[1], attempt?: number): void {
    this.kit.telemetry.emit({ ...this.job.subject, executor: this.kit.owner, attempt }, event);
  }

  private envelope(source: string, value: unknown, text?: string): Envelope {
    return { task: source, undo: this.job.undo, value: inlineOrReference(source, value, text) };
  }

  private failed(error: StoredError, cause?: Error): ApplicationFailure {
    return failure(ErrorType.ActivityFailed, error.message, { cause, details: [error] });
  }

  private discarded(reason: string): ApplicationFailure {
    this.emit({ event: 'fenced', action: 'discard', reason });
    return failure(ErrorType.Discarded, `the run of ${this.spec.task} is over (${reason.replaceAll('_', ' ')})`);
  }

  private notRun(reason: string, owner: string | null, waitMs: number, attempt?: number): ApplicationFailure {
    this.emit({ event: 'not run', owner, reason }, attempt);
    const { task } = this.spec;
    const message = `${task} was not run: ${reason.replaceAll('_', ' ')} (${owner ?? 'nobody'})`;
    return failure(ErrorType.LeaseHeld, message, { nextRetryDelay: delay(waitMs) });
  }
}

/** The worker gives the attempt back. */
class HandBack extends Error {}

/** Temporal takes no delay of nothing; and one that is not too long sees a lease that ended early. */
const delay = (ms: number): number => Math.round(Math.min(Math.max(ms, 1), MAX_DELAY_MS));

function stored(error: Error): StoredError {
  const type = (error as { type?: unknown }).type;
  return { type: typeof type === 'string' ? type : error.name, message: error.message.slice(0, 4_000) };
}

function handedBack(message: string): ApplicationFailure {
  return failure(ErrorType.HandedBack, message, { nextRetryDelay: '100ms' });
}

/** The same error, for Temporal to wait and call again. */
function retryable(error: Error, afterMs: number): ApplicationFailure {
  const { type, message } = stored(error);
  return ApplicationFailure.create({ type, message, nextRetryDelay: Math.max(afterMs, 1), cause: error });
}
