/**
 * What a run came to, on its way to the store: `operation.ts` keeps one success and one failure a member, the newest, until
 * `store/writer.ts` has written them. So what waits is bounded by the members, however long the database is away.
 */
import type { RunResult } from '../../workers/config/definition';

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
}

/** Larger values are refused: they would crowd out everything else in a flush. Characters of JSON. */
export const MAX_VALUE_LENGTH = 4 * 1024 * 1024;

/** Reads what a run returned. Throws a TypeError that says what it should have been. */
export function readResult(
  result: unknown,
  where: string,
): { json: string | null; etag: string | null; expiresAt: number | null } {
  if (result === null || typeof result !== 'object') {
    throw new TypeError(`${where} returned ${String(result)}; return { value } or { unchanged: true }`);
  }
  const { expiresAt, etag } = result as RunResult;
  const expiry = expiresAt === undefined ? null : Number(expiresAt);
  if (expiry !== null && !Number.isFinite(expiry)) {
    throw new TypeError(`${where} returned an expiresAt that is no time; return epoch milliseconds or a Date`);
  }
  if ((result as RunResult).unchanged === true) return { json: null, etag: etag ?? null, expiresAt: expiry };
  const json = 'value' in result ? JSON.stringify(result.value) : undefined;
  if (json === undefined) throw new TypeError(`${where} returned no value; return { value } or { unchanged: true }`);
  if (json.length > MAX_VALUE_LENGTH) {
    throw new TypeError(
      `${where} returned a value of ${json.length} characters; at most ${MAX_VALUE_LENGTH} are stored`,
    );
  }
  // PostgreSQL's jsonb has no NUL character.
  const storable = json.includes('\\u0000') ? json.replaceAll('\\u0000', '\\ufffd') : json;
  return { json: storable, etag: etag ?? null, expiresAt: expiry };
}
