/**
 * Makes anything that an activity throws safe for the wire. The SDK turns an error into its wire form outside of any
 * catch and follows its causes without an end: a cause that is itself, a detail that JSON cannot say or half a
 * surrogate pair in a message would end the whole worker, and then the next one. So every activity of a worker goes
 * through `carried` (`workers/parts.ts`, `durable/index.ts`), and what leaves it is a chain of a few short errors that
 * the converter can work with.
 */
import {
  ApplicationFailure,
  ApplicationFailureCategory,
  CancelledFailure,
  TemporalFailure,
  type Duration,
} from '@temporalio/common';
import { msToNumber } from '@temporalio/common/lib/time';
import { CompleteAsyncError } from '@temporalio/activity';
import { storable } from '../../workflows/lib/text';
import { DAY_MS } from '../../config/values';

/** Errors of one chain, the first included. */
const CHAIN = 6;
const MESSAGE_BYTES = 4_000;
const STACK_BYTES = 4_000;
const TYPE_BYTES = 200;
/** The most that all details of one error may have together, as JSON. */
const DETAIL_BYTES = 64 * 1_024;
/** The most details of one error: the mark in place of a dropped detail has bytes too. */
const MOST_DETAILS = 100;
const LONGEST_DELAY_MS = 365 * DAY_MS;

type Activities = Record<string, (...args: never[]) => unknown>;

/** The same activities; what they throw can be carried. */
export function carried<T extends object>(activities: T): T {
  const wrapped = Object.entries(activities as Activities).map(([name, run]) => [
    name,
    async (...args: never[]): Promise<unknown> => {
      try {
        return await run(...args);
      } catch (thrown) {
        throw wireError(thrown);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}

/** An error of the same type and meaning that can be carried. Nothing of what was thrown is changed. */
export function wireError(thrown: unknown): Error {
  if (isA(CompleteAsyncError, thrown)) return thrown as Error;
  // How code ends that was cancelled; the SDK knows it by its name.
  if (textAt(thrown, 'name') === 'AbortError' && isA(Error, thrown)) {
    const { message } = partsOf(thrown);
    return Object.assign(new Error(message), { name: 'AbortError' });
  }
  return link(thrown, new Set(), CHAIN);
}

function link(thrown: unknown, seen: Set<unknown>, left: number): Error {
  seen.add(thrown);
  const { message, type, stack } = partsOf(thrown);
  const inner = at(thrown, 'cause');
  const more = left > 1 && inner !== undefined && inner !== null && !seen.has(inner);
  const cause = more ? link(inner, seen, left - 1) : undefined;
  return withStack(failureOf(thrown, message, type, cause), stack);
}

function failureOf(thrown: unknown, message: string, type: string, cause: Error | undefined): Error {
  if (isA(CancelledFailure, thrown)) return new CancelledFailure(message, details(thrown), cause);
  if (!isA(ApplicationFailure, thrown)) {
    // Others of Temporal's own say what happened to something else; here it is a cause like any other.
    const nonRetryable = isA(TemporalFailure, thrown) && at(thrown, 'nonRetryable') === true;
    return ApplicationFailure.create({ message, type, nonRetryable, cause });
  }
  const given = textAt(thrown, 'type');
  const category = at(thrown, 'category');
  return ApplicationFailure.create({
    message,
    type: given === undefined ? undefined : storable(given, TYPE_BYTES),
    nonRetryable: at(thrown, 'nonRetryable') === true,
    details: details(thrown),
    nextRetryDelay: delay(at(thrown, 'nextRetryDelay')),
    // The converter throws for one that it does not know.
    category: Object.values(ApplicationFailureCategory).find((known) => known === category),
    cause,
  });
}

function partsOf(thrown: unknown): { message: string; type: string; stack: string | undefined } {
  if (!isA(Error, thrown))
    return { message: storable(wordsFor(thrown), MESSAGE_BYTES), type: 'Error', stack: undefined };
  const type = textAt(at(thrown, 'constructor'), 'name') || textAt(thrown, 'name') || 'Error';
  const stack = textAt(thrown, 'stack');
  return {
    message: storable(textAt(thrown, 'message') ?? wordsFor(at(thrown, 'message')), MESSAGE_BYTES),
    type: storable(type, TYPE_BYTES),
    stack: stack === undefined ? undefined : storable(stack, STACK_BYTES),
  };
}

/** Details that can be written as JSON and are not too large; else a word in their place. */
function details(thrown: unknown): unknown[] {
  const given = at(thrown, 'details');
  const count = isList(given) ? given.length : 0;
  let room = DETAIL_BYTES;
  const kept = Array.from({ length: Math.min(count, MOST_DETAILS) }, (_, index) => {
    const detail = at(given, String(index));
    if (detail === undefined) return detail;
    try {
      const json = JSON.stringify(detail) as string | undefined;
      if (json === undefined) return { omitted: `a ${typeof detail}` };
      room -= Buffer.byteLength(json, 'utf8');
      return room >= 0 ? detail : { omitted: `too large: more than ${DETAIL_BYTES} bytes of details` };
    } catch (error) {
      return { omitted: `cannot be written as JSON: ${storable(wordsFor(error), 200)}` };
    }
  });
  return count > MOST_DETAILS ? [...kept, { omitted: `${count - MOST_DETAILS} more` }] : kept;
}

function isList(given: unknown): given is unknown[] {
  try {
    return Array.isArray(given) && Number.isSafeInteger(given.length);
  } catch {
    return false;
  }
}

function delay(given: unknown): Duration | undefined {
  if (typeof given !== 'number' && typeof given !== 'string') return undefined;
  try {
    const ms = msToNumber(given as Duration);
    return Number.isFinite(ms) && ms >= 0 ? Math.min(ms, LONGEST_DELAY_MS) : undefined;
  } catch {
    return undefined;
  }
}

function withStack(error: Error, stack: string | undefined): Error {
  error.stack = stack;
  return error;
}

/** `instanceof`, also for a proxy whose target is gone. */
function isA(type: abstract new (...args: never[]) => unknown, thrown: unknown): boolean {
  try {
    return thrown instanceof type;
  } catch {
    return false;
  }
}

/** A property, where it can be read. */
function at(thrown: unknown, name: string): unknown {
  try {
    return (thrown as Record<string, unknown> | null | undefined)?.[name];
  } catch {
    return undefined;
  }
}

function textAt(thrown: unknown, name: string): string | undefined {
  const value = at(thrown, name);
  return typeof value === 'string' ? value : undefined;
}

function wordsFor(value: unknown): string {
  try {
    if (typeof value === 'object' && value !== null) return JSON.stringify(value) ?? 'an object';
    return String(value);
  } catch {
    return 'something was thrown that cannot be put into words';
  }
}
