/**
 * How an activity fails: one function that makes Temporal's failure from an error type of `workflows/lib/errors.ts`,
 * so that what is retried is decided there and nowhere else.
 */
import type * as common from '@temporalio/common';
import { NON_RETRYABLE, type ErrorType } from '../../workflows/lib/errors';

/** The SDK's part, once something has needed it. */
let sdk: typeof common | undefined;

export function failure(
  type: ErrorType,
  message: string,
  options: { cause?: unknown; nextRetryDelay?: '1ms' | '100ms' | '1s' | number; details?: unknown[] } = {},
): common.ApplicationFailure {
  // Loaded when something fails: most verbs of the command line only read the database and need nothing of the SDK.
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- an `import()` would make every failure a promise
  sdk ??= require('@temporalio/common') as typeof common;
  return sdk.ApplicationFailure.create({
    type,
    message,
    nonRetryable: NON_RETRYABLE.includes(type),
    nextRetryDelay: options.nextRetryDelay,
    details: options.details,
    cause: options.cause instanceof Error ? options.cause : undefined,
  });
}

/**
 * For code that has loaded the SDK anyway, so that what fails in a timer, at whatever moment, needs to load nothing.
 */
export function useSdk(loaded: typeof common): void {
  sdk = loaded;
}

/**
 * Makes, of whatever was thrown, an error that can be logged and looked at, because logging must not fail. It is the
 * same error as a rule; a copy where it is frozen (the logger marks what it has written) or where its parts cannot be
 * read.
 */
export function errorOf(thrown: unknown): Error {
  try {
    if (!(thrown instanceof Error)) return new Error(String(thrown));
    return Object.isExtensible(thrown) && isReadable(thrown) ? thrown : copyOf(thrown);
  } catch {
    // An object without a prototype, one whose toString throws, or a proxy of nothing.
    return new Error('something was thrown that cannot be read');
  }
}

function isReadable(error: Error): boolean {
  try {
    for (const key in error) Reflect.get(error, key);
    void error.cause;
    void error.stack;
    return typeof error.message === 'string' && typeof error.name === 'string';
  } catch {
    return false;
  }
}

/**
 * With the same prototype and the properties that can be read, so that it is still what it was for who looks at its
 * class or type.
 */
function copyOf(thrown: Error): Error {
  const copy = Object.create(Object.getPrototypeOf(thrown) as object) as Error;
  for (const key of Reflect.ownKeys(thrown)) {
    try {
      const value: unknown = Reflect.get(thrown, key);
      Object.defineProperty(copy, key, { value, writable: true, configurable: true });
    } catch {
      // A getter that throws says nothing.
    }
  }
  for (const key of ['message', 'name'] as const) {
    if (typeof copy[key] !== 'string')
      Object.defineProperty(copy, key, { value: 'Error', writable: true, configurable: true });
  }
  return copy;
}
