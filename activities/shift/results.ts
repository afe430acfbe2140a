/**
 * What a run came to, on its way to the store: read here from what the code returned or threw (`operation.ts`), kept in `pending.ts`
 * until a flush (`writer.ts`) has written it.
 */
import type { RunResult } from '../../workers/config/definition';
import { storableJson } from '../store/text';

export interface Success {
  key: number;
  /** The value as JSON; null: the stored one still holds. */
  json: string | null;
  etag: string | null;
  fetchedAt: number;
  expiresAt: number | null;
}

export interface Failure {
  key: number;
  failedAt: number;
  error: string;
  heldUntil: number | null;
  /** Which failure in a row this is since the last success, as the store counts them: written as it is, so that no failure counts twice. */
  inARow: number;
}

/** Larger values are refused: they would crowd out everything else in a flush. Characters of JSON. */
export const MAX_VALUE_LENGTH = 4 * 1024 * 1024;

/** The calendar of a JavaScript Date, which PostgreSQL's holds. Milliseconds since 1970. */
export const LAST_TIME = 8.64e15;

/** Reads what a run returned, so that it can be stored whatever it was. Throws a TypeError that says what it should have been. */
export function readResult(
  result: unknown,
  where: string,
): { json: string | null; etag: string | null; expiresAt: number | null } {
  if (result === null || typeof result !== 'object') {
    throw new TypeError(`${where} returned ${String(result)}; return { value } or { unchanged: true }`);
  }
  const { expiresAt, etag } = result as RunResult;
  const expiry = expiresAt === undefined ? null : Number(expiresAt);
  if (expiry !== null && !(expiry >= 0 && expiry <= LAST_TIME)) {
    throw new TypeError(`${where} returned an expiresAt that is no time; return epoch milliseconds or a Date`);
  }
  if (etag !== undefined && etag !== null && (typeof etag !== 'string' || etag.includes('\0'))) {
    throw new TypeError(`${where} returned an etag that is no text`);
  }
  if ((result as RunResult).unchanged === true) return { json: null, etag: etag ?? null, expiresAt: expiry };
  const json = 'value' in result ? JSON.stringify(result.value) : undefined;
  if (json === undefined) throw new TypeError(`${where} returned no value; return { value } or { unchanged: true }`);
  if (json.length > MAX_VALUE_LENGTH) {
    throw new TypeError(
      `${where} returned a value of ${json.length} characters; at most ${MAX_VALUE_LENGTH} are stored`,
    );
  }
  return { json: storableJson(json), etag: etag ?? null, expiresAt: expiry };
}
