/**
 * One execution of a durable activity, from Temporal's call to its answer: get the lease or a stored result
 * (`acquire.ts`), run the code under its lease and timeout, settle in the effect's transaction, or say what follows.
 * Called by `index.ts`; the rows are `tasks.ts`, what is retried `retry.ts`, what a refusal means `outcomes.ts`, what
 * is said `answers.ts`.
 */
import * as sdk from '@temporalio/common';
import type { ActivityContext } from '../../config/define/activity';
import type { Envelope } from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { errorOf, failure, useSdk } from '../lib/failures';
import { isPassing } from '../lib/sqlstate';
import { waitsForTokens } from '../upstream/spend/before';
import { OutOfTokens } from '../upstream/spend/shortage';
import { acquire, type Acquired } from './acquire';
import { Answers, handedBack, retryable, stored } from './answers';
import { specOf, type Caller, type Call, type DurableServices } from './call';
import { type Lease, retryAfterMs } from './leases';
import { FencedError } from './outcomes';
import { isByReference, serialize } from './references';
import { decide } from './retry';
import { attemptStopped, endRun, settleTask, type TaskClaim, type Settlement, type StoredError } from './store/tasks';
import { LazyTransaction } from './transaction';
import { sleep } from '../lib/sleep';

useSdk(sdk);

export type { Caller, Call, DurableServices } from './call';

/** How often Temporal is asked again whose attempt this is, where it does not answer. Milliseconds. */
const ASK_AGAIN_MS = 1_000;

export async function execute(services: DurableServices, call: Call, caller: Caller): Promise<Envelope> {
  const answers = new Answers(services, call);
  const acquired = await acquire(services, call, specOf(call), caller, answers);
  return 'envelope' in acquired ? acquired.envelope : new Attempt(services, call, caller, answers, acquired).run();
}

class Attempt {
  private readonly claim: TaskClaim;
  private readonly lease: Lease;
  private readonly lastError: StoredError | null;
  private readonly stop = new AbortController();
  private readonly tx: LazyTransaction;
  private readonly began = performance.now();
  /** The code has been called with it: what it does outside of the database may have happened. */
  private context: ActivityContext | undefined;
  private over = false;

  constructor(
    private readonly services: DurableServices,
    private readonly call: Call,
    private readonly caller: Caller,
    private readonly answers: Answers,
    { claim, lease, lastError }: Acquired,
  ) {
    this.claim = claim;
    this.lease = lease;
    this.lastError = lastError;
    this.tx = new LazyTransaction(services.transactions, this.stop.signal);
  }

  async run(): Promise<Envelope> {
    const { claim, call, stop, tx } = this;
    let unlisten = (): void => undefined;
    try {
      this.answers.emit({ event: 'started' }, claim.used);
      unlisten = this.listen();
      const result = await this.race(async () => {
        await call.prepare?.();
        stop.signal.throwIfAborted();
        this.context = this.contextOf();
        return call.run(this.context);
      });
      const text = serialize(call.subject.activity, result);
      await this.complete(text);
      this.answers.emit({ event: 'completed', durationMs: this.elapsed }, claim.used);
      return this.answers.envelope(claim.spec.task, text);
    } catch (thrown) {
      const error = errorOf(thrown);
      if (!stop.signal.aborted) stop.abort(error);
      await tx.rollback(error.message);
      throw await this.ended(error);
    } finally {
      this.over = true;
      unlisten();
      this.lease.release();
    }
  }

  private get elapsed(): number {
    return performance.now() - this.began;
  }

  /**
   * Whether nothing has happened that counts: the code has not begun, or all that it did was undone with its
   * transaction.
   */
  private get undone(): boolean {
    return this.context === undefined || waitsForTokens(this.context) || this.tx.used;
  }

  private contextOf(): ActivityContext {
    const { claim, services, tx } = this;
    const { subject, options, key } = this.call;
    const { task, activity, workflow } = subject;
    return {
      tx,
      signal: this.stop.signal,
      attempt: claim.used,
      attempts: options.retry.attempts,
      task,
      key: key?.text ?? task,
      lastError: this.lastError ?? undefined,
      log: services.log.child({ workflow, task, activity, attempt: claim.used }),
    };
  }

  /** Everything that can stop the code, turned into one signal. */
  private listen(): () => void {
    const { caller, call, lease, stop } = this;
    const timer = setTimeout(() => {
      stop.abort(failure(ErrorType.ActivityTimeout, `it took longer than ${call.options.timeoutMs} ms`));
    }, call.options.timeoutMs);
    timer.unref();
    const onLost = () => stop.abort(lease.lost.reason);
    const onCancelled = () => {
      const details = caller.details();
      if (details?.cancelRequested) return stop.abort(new sdk.CancelledFailure('the workflow cancelled the activity'));
      if (details?.workerShutdown) return stop.abort(new HandBack('the worker shuts down'));
      if (details?.paused || details?.reset) return stop.abort(new HandBack('it was paused or reset'));
      // Heartbeats could not be reported, or Temporal has given the attempt up. The lease decides, while somebody waits
      // for the result.
      void this.askWhoWaits();
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

  private async askWhoWaits(): Promise<void> {
    const { services, stop } = this;
    const { workflowId, runId } = this.claim.spec;
    while (!this.over && !stop.signal.aborted) {
      try {
        if (!(await services.isCurrent(workflowId, runId))) {
          await endRun(services.database, workflowId, runId);
          stop.abort(new FencedError('run_not_active'));
        } else if (!(await services.isPending(workflowId, runId, this.call.subject.externalId))) {
          stop.abort(new GivenUp('its workflow has given it up'));
        }
        return;
      } catch {
        await sleep(ASK_AGAIN_MS, { ref: false });
      }
    }
  }

  /** The code's result, or the reason of the signal as soon as it fires: code that goes on is not waited for. */
  private race(run: () => Promise<unknown>): Promise<unknown> {
    const { signal } = this.stop;
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
  private async complete(text: string): Promise<void> {
    const settlement: Settlement = { to: 'completed', result: text, byReference: isByReference(text) };
    if (this.tx.used) {
      await this.tx.commit(async (db) => {
        const { reason } = await settleTask(db, this.claim, settlement);
        if (reason !== null) throw new FencedError(reason);
      });
      return;
    }
    // The effect is outside and has happened: an outage now must not make it happen again.
    const { reason } = await this.persist(settlement);
    if (reason !== null) throw new FencedError(reason);
  }

  // ── After the code ──

  /** Settles what did not complete. @returns what to throw. */
  private async ended(error: Error): Promise<Error> {
    const { answers, claim, lease, undone } = this;
    if (error instanceof FencedError) return this.fenced(error);
    if (lease.lost.aborted) return this.fenced(new FencedError(await this.reasonOf()));
    if (error instanceof GivenUp) return this.givenUp(error);
    if (error instanceof HandBack) {
      await this.persist({ to: 'waiting', error: stored(error), unused: undone, lenient: true });
      return handedBack(error.message);
    }
    if (undone && isPassing(this.tx.used ? this.tx.troubleOf(error) : error)) {
      // Nothing of it is there, unless the commit itself was: then the task is not leased any more, and its result is.
      const { reason } = await this.persist({ to: 'waiting', error: stored(error), unused: true, lenient: true });
      return handedBack(reason === null ? error.message : 'the end of its transaction was not seen');
    }
    if (error instanceof OutOfTokens && error.when === 'before') {
      // Its code has not been called: whatever it is allowed, no attempt is used.
      const settled = await this.persist({ to: 'waiting', error: stored(error), unused: true, lenient: true });
      return settled.reason === null ? retryable(error, error.afterMs) : this.fenced(new FencedError(settled.reason));
    }
    const decision =
      error instanceof sdk.CancelledFailure ? undefined : decide(error, claim.used, this.call.options.retry);
    if (decision?.retry) {
      const settled = await this.persist({ to: 'waiting', error: stored(error), retryMs: decision.afterMs });
      if (settled.reason !== null) return this.fenced(new FencedError(settled.reason));
      const retryAt = settled.retryAtMs === null ? null : new Date(settled.retryAtMs).toISOString();
      const told = { durationMs: this.elapsed, nextAttempt: claim.used + 1, retryAt, error: error.message };
      answers.emit({ event: 'retried', ...told }, claim.used);
      return retryable(error, decision.afterMs);
    }
    const settled = await this.persist({ to: 'failed', error: stored(error) });
    if (settled.reason !== null) return this.fenced(new FencedError(settled.reason));
    answers.emit({ event: 'failed', durationMs: this.elapsed, error: error.message }, claim.used);
    return error instanceof sdk.CancelledFailure ? error : answers.failed(stored(error), error);
  }

  /** The four outcomes of a refused write. Handed back without an attempt used only where nothing has happened. */
  private async fenced(error: FencedError): Promise<Error> {
    const action = error.outcome;
    if (action === 'raise') return error;
    this.answers.emit({ event: 'fenced', action, reason: error.reason }, this.claim.used);
    if (action === 'drop') {
      await attemptStopped(this.services.database, this.claim).catch(() => undefined);
      return handedBack(error.message);
    }
    if (action === 'discard') return this.discard(error);
    await this.persist({ to: 'waiting', error: stored(error), unused: this.undone, lenient: true });
    return handedBack(error.message);
  }

  private async givenUp(error: GivenUp): Promise<Error> {
    this.answers.emit({ event: 'fenced', action: 'discard', reason: 'given_up' }, this.claim.used);
    return this.discard(error);
  }

  private async discard(error: Error): Promise<Error> {
    await this.persist({ to: 'discarded', error: stored(error), lenient: true });
    return failure(ErrorType.Discarded, error.message);
  }

  /**
   * Why the fence refuses this claim now; an unknown end counts as an expired lease, which the next attempt finds out.
   */
  private async reasonOf(): Promise<string> {
    try {
      return (await this.services.leases.reasonOf(this.claim)) ?? 'lease_expired';
    } catch {
      return 'lease_expired';
    }
  }

  /**
   * Settles, through an outage of the database: for as long as nobody else can have the lease; and where an attempt is
   * to be given back, until the database answers, for then it is to count as none, and Temporal calls nobody else
   * meanwhile.
   */
  private async persist(settlement: Settlement): Promise<{ reason: string | null; retryAtMs: number | null }> {
    const { caller, claim, call, services, lease } = this;
    for (;;) {
      try {
        return await settleTask(services.database, claim, settlement);
      } catch (error) {
        const patient = lease.fresh || (settlement.unused === true && !caller.signal.aborted);
        if (!isPassing(error) || !patient) throw error;
        await sleep(retryAfterMs(call.options.lease.renewMs));
      }
    }
  }
}

/** The worker gives the attempt back. */
class HandBack extends Error {}

/** The workflow goes on without it. */
class GivenUp extends Error {}
