/**
 * A run's result on its way to the store: read here from what the code returned or threw (`operation.ts`), kept in
 * `pending.ts` until a flush (`writer.ts`) has written it.
 */
import type { OperationDefinition, RunResult } from '../../../config/define/tracker';
import { LAST_TIME } from '../../../workflows/lib/time';
import { EncodedResult, storedForm, type StoredForm } from './stored-value';

export interface Success {
  key: number;
  /** The value as JSON; null: the stored one still holds. */
  json: string | null;
  /** As in {@link StoredForm}. */
  codec?: string;
  fed?: string;
  etag: string | null;
  fetchedAt: number;
  expiresAt: number | null;
}

export interface Failure {
  key: number;
  failedAt: number;
  error: string;
  heldUntil: number | null;
  /**
   * The number of this failure in a row since the last success, as the store counts them: written as it is, so that no
   * failure counts twice.
   */
  inARow: number;
}

export interface ReadResult extends Omit<StoredForm, 'json'> {
  json: string | null;
  etag: string | null;
  expiresAt: number | null;
  /** Its expiresAt is not a time (an invalid Date, NaN): the value counts, the expiry does not. */
  oddExpiry: boolean;
}

/**
 * Reads what a run returned, so that it can be stored whatever it was. Throws a TypeError that says what it should have
 * been.
 */
export function readResult(
  given: unknown,
  where: string,
  coding: Pick<OperationDefinition, 'codec' | 'buffer'> = {},
): ReadResult {
  const result = given instanceof EncodedResult ? given.result : given;
  if (result === null || typeof result !== 'object') {
    throw new TypeError(`${where} returned ${String(result)}; return { value } or { unchanged: true }`);
  }
  const { expiresAt, etag } = result as RunResult;
  if (expiresAt !== undefined && expiresAt !== null && typeof expiresAt !== 'number' && !isDate(expiresAt)) {
    throw new TypeError(`${where} returned an expiresAt that is not a time; return epoch milliseconds or a Date`);
  }
  // However odd an upstream's time is, the value that came with it is good: a time is cut to the calendar, or left out.
  const time = expiresAt === undefined || expiresAt === null ? null : Number(expiresAt);
  const oddExpiry = time !== null && Number.isNaN(time);
  const expiry = time === null || oddExpiry ? null : Math.min(LAST_TIME, Math.max(0, time));
  if (etag !== undefined && etag !== null && (typeof etag !== 'string' || etag.includes('\0'))) {
    throw new TypeError(`${where} returned an etag that is not text`);
  }
  if ((result as RunResult).unchanged === true) return { json: null, etag: etag ?? null, expiresAt: expiry, oddExpiry };
  const stored =
    given instanceof EncodedResult ? given.stored : storedForm((result as { value?: unknown }).value, coding, where);
  return { ...stored, etag: etag ?? null, expiresAt: expiry, oddExpiry };
}

function isDate(value: unknown): value is Date {
  return Object.prototype.toString.call(value) === '[object Date]';
}
