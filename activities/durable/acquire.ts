/**
 * Before a durable activity's code: look for a stored result, take the lease and count the attempt, or say why it does
 * not run now. The first half of an execution; called by `execute.ts`, which runs the code under the lease that it gets
 * from here.
 */
import { randomUUID } from 'node:crypto';
import type { Envelope } from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../lib/failures';
import { classOf, isPassing } from '../lib/sqlstate';
import type { Answers } from './answers';
import type { Caller, Call, DurableServices } from './call';
import { retryAfterMs, type Lease } from './leases';
import {
  attemptNotStarted,
  takeTask,
  type TaskClaim,
  type StoredError,
  type Taken,
  type TaskSpec,
} from './store/tasks';
import { sleep } from '../lib/sleep';

export interface Acquired {
  claim: TaskClaim;
  lease: Lease;
  lastError: StoredError | null;
}

/**
 * The lease is renewed before the code starts where more than this, or half of it, has passed since it was asked for.
 * Milliseconds.
 */
const START_GAP_MS = 500;
/** How long a caller waits in its slot for the first one of its key; then Temporal waits. */
const KEY_PATIENCE_MS = 30_000;

export async function acquire(
  services: DurableServices,
  call: Call,
  spec: TaskSpec,
  caller: Caller,
  answers: Answers,
): Promise<{ envelope: Envelope } | Acquired> {
  const patience = performance.now() + KEY_PATIENCE_MS;
  let endedRun: string | null = null;
  const callId = randomUUID();
  for (;;) {
    let sentAt = 0;
    const { taken, other } = await patiently(call, caller, () => {
      sentAt = performance.now();
      return take(services, spec, endedRun, callId);
    });
    if (other !== null) answers.emit({ event: 'other input', source: other });
    switch (taken.outcome) {
      case 'run': {
        const lease = await sureLease(services, call, caller, answers, taken.claim, sentAt);
        return { claim: taken.claim, lease, lastError: taken.lastError };
      }
      case 'done':
        answers.emit({ event: 'hit', source: taken.source });
        return { envelope: answers.envelope(taken.source, taken.result) };
      case 'relied_on':
        answers.emit({ event: 'relied on', by: taken.by });
        return { envelope: answers.envelope(spec.task, 'null') };
      case 'failed':
        throw answers.failed(taken.error);
      case 'exhausted':
        answers.emit({ event: 'failed', durationMs: 0, error: taken.error.message }, taken.used);
        throw answers.failed(taken.error);
      case 'other_input':
        throw failure(
          ErrorType.BadValue,
          `the key '${spec.key!.text.slice(0, 200)}' of ${spec.activity} was used with another input, by ${taken.source}`,
        );
      case 'key_held':
        if (performance.now() > patience) throw answers.notRun(taken.outcome, taken.owner, taken.waitMs);
        await services.waiter.wait(spec.key!, taken.waitMs, caller.signal);
        caller.signal.throwIfAborted();
        break;
      case 'held':
      case 'resource_held':
        throw answers.notRun(taken.outcome, taken.owner, taken.waitMs);
      case 'run_mismatch':
        if (endedRun !== taken.holder && (await services.isCurrent(spec.workflowId, spec.runId))) {
          endedRun = taken.holder;
          break;
        }
        throw answers.discarded('run_mismatch');
      case 'run_not_active':
      case 'discarded':
        throw answers.discarded(taken.outcome);
    }
  }
}

/**
 * Asks again while the database does not answer: whether it has the lease by now only this call can find out, and for
 * who comes after it a lost answer would be a crash, which uses an attempt.
 */
async function patiently<T>(call: Call, caller: Caller, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isPassing(error) || caller.signal.aborted) throw error;
      await sleep(retryAfterMs(call.options.lease.renewMs));
    }
  }
}

/**
 * Takes the task's lease. A row that PostgreSQL refuses would be refused at each try, so the call fails; but the input
 * of a compensation is only there for people, so the row is tried once more without it.
 */
async function take(
  services: DurableServices,
  spec: TaskSpec,
  endedRun: string | null,
  callId: string,
): Promise<{ taken: Taken; other: string | null }> {
  try {
    return await takeTask(services.database, spec, services.owner, endedRun, callId);
  } catch (error) {
    if (classOf(error) !== 'row') throw error;
    if (spec.details !== null && spec.details.input !== null) {
      return take(services, { ...spec, details: { ...spec.details, input: null } }, endedRun, callId);
    }
    const { message } = error as Error;
    throw failure(ErrorType.BadValue, `${spec.task} cannot be written down: ${message}`, { cause: error });
  }
}

/**
 * The lease, once it is known to hold. The take itself may have been slow, or this process was: then it is asked for
 * once more, for as long as the database does not answer, and nobody is told meanwhile. If the lease is lost, the
 * attempt is given back.
 */
async function sureLease(
  services: DurableServices,
  call: Call,
  caller: Caller,
  answers: Answers,
  claim: TaskClaim,
  takenAt: number,
): Promise<Lease> {
  const { renewMs, ttlMs } = call.options.lease;
  if (performance.now() - takenAt <= Math.min(START_GAP_MS, ttlMs / 2))
    return services.leases.keep(claim, renewMs, takenAt);
  for (;;) {
    const askedAt = performance.now();
    let lost: string | undefined;
    try {
      caller.signal.throwIfAborted();
      lost = await services.leases.reasonOf(claim);
    } catch (error) {
      if (isPassing(error)) {
        await sleep(retryAfterMs(renewMs));
        continue;
      }
      await attemptNotStarted(services.database, claim).catch(() => undefined);
      throw error;
    }
    if (lost !== undefined) {
      await attemptNotStarted(services.database, claim).catch(() => undefined);
      throw answers.notRun('lost before it ran', services.owner, 0, claim.used);
    }
    const lease = services.leases.keep(claim, renewMs, askedAt);
    if (lease.fresh) return lease;
    lease.release();
  }
}
