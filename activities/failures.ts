/**
 * How an activity fails: one function that makes Temporal's failure from an error type of `workflows/lib/errors.ts`,
 * so that what is retried is decided there and nowhere else.
 */
import { ApplicationFailure } from '@temporalio/common';
import { NON_RETRYABLE, type ErrorType } from '../workflows/lib/errors';

export function failure(
  type: ErrorType,
  message: string,
  options: { cause?: unknown; nextRetryDelay?: '1ms' | '100ms' | '1s' | number; details?: unknown[] } = {},
): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: NON_RETRYABLE.includes(type),
    nextRetryDelay: options.nextRetryDelay,
    details: options.details,
    cause: options.cause instanceof Error ? options.cause : undefined,
  });
}

export function errorOf(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  try {
    return new Error(String(thrown));
  } catch {
    // An object without a prototype, or whose toString throws.
    return new Error('something was thrown that is no error');
  }
}
