/**
 * The answers of a durable activity: to Temporal (a result, or a failure that says what follows), and to people
 * (events). Used by `acquire.ts` and `execute.ts`; what Temporal gets goes through `wire.ts` as everything does.
 */
import { ApplicationFailure } from '@temporalio/common';
import type { Envelope } from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../lib/failures';
import { ERROR_BYTES, storable } from '../../workflows/lib/text';
import type { Call, DurableServices } from './call';
import { inlineOrReference } from './references';
import type { StoredError } from './store/tasks';
import type { DurableEvent } from './telemetry';

const MAX_DELAY_MS = 10_000;
const TYPE_BYTES = 200;

export class Answers {
  constructor(
    private readonly services: DurableServices,
    private readonly call: Call,
  ) {}

  emit(event: DurableEvent, attempt?: number): void {
    this.services.telemetry.emit({ ...this.call.subject, executor: this.services.owner, attempt }, event);
  }

  /** @param text the result as it is stored: so it is the same for whoever gets it, at whatever time. */
  envelope(source: string, text: string): Envelope {
    return { task: source, undo: this.call.undo, value: inlineOrReference(source, text) };
  }

  failed(error: StoredError, cause?: Error): ApplicationFailure {
    return failure(ErrorType.ActivityFailed, error.message, { cause, details: [error] });
  }

  discarded(reason: string): ApplicationFailure {
    this.emit({ event: 'fenced', action: 'discard', reason });
    const { task } = this.call.subject;
    return failure(ErrorType.Discarded, `nobody waits for ${task} any more (${reason.replaceAll('_', ' ')})`);
  }

  notRun(reason: string, owner: string | null, waitMs: number, attempt?: number): ApplicationFailure {
    this.emit({ event: 'not run', owner, reason }, attempt);
    const message = `${this.call.subject.task} was not run: ${reason.replaceAll('_', ' ')} (${owner ?? 'nobody'})`;
    return failure(ErrorType.LeaseHeld, message, { nextRetryDelay: delay(waitMs) });
  }
}

/** Temporal takes no delay of nothing; and one that is not too long sees a lease that ended early. */
const delay = (ms: number): number => Math.round(Math.min(Math.max(ms, 1), MAX_DELAY_MS));

export function stored(error: Error): StoredError {
  const type = (error as { type?: unknown }).type;
  return {
    type: storable(typeof type === 'string' ? type : error.name, TYPE_BYTES),
    message: storable(error.message, ERROR_BYTES),
  };
}

export function handedBack(message: string): ApplicationFailure {
  return failure(ErrorType.HandedBack, message, { nextRetryDelay: '100ms' });
}

/** The same error, for Temporal to wait and call again. */
export function retryable(error: Error, afterMs: number): ApplicationFailure {
  const { type, message } = stored(error);
  return ApplicationFailure.create({ type, message, nextRetryDelay: Math.max(afterMs, 1), cause: error });
}
