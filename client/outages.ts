/**
 * Failures of PostgreSQL as a client's caller gets them: which mean that the database cannot be used, and what people
 * are told of one. Called by `connections.ts`.
 */
import { isOutage } from '../activities/lib/database';
import { showAddress, tlsProblem } from '../config/address';
import {
  DatabaseNotMigratedError,
  DatabaseUnavailableError,
  LongwatchError,
  type ReplicaUnavailableError,
} from './errors';

/** An undefined table, column, function or schema. */
const NOT_MIGRATED = ['42P01', '42703', '42883', '3F000'];

/**
 * One of `errors.ts` where the failure is of the connection, the login or the schema; any other error as it is.
 * @param url where the statement went
 */
export function databaseError(
  error: unknown,
  url: string | undefined,
  Unavailable: typeof DatabaseUnavailableError | typeof ReplicaUnavailableError = DatabaseUnavailableError,
): unknown {
  if (error instanceof LongwatchError) return error;
  const address = url ? showAddress(url) : 'an unknown address';
  const code = String((error as { code?: unknown }).code);
  if (NOT_MIGRATED.includes(code)) return new DatabaseNotMigratedError(address, error);
  // Wrong password or role, or no such database.
  const isRefused = /^(28|3D)/.test(code);
  const tls = tlsProblem(error);
  if (isOutage(error) || isRefused || tls !== undefined || isNetworkError(code)) {
    return new Unavailable(address, tls ?? outageText(error), error);
  }
  return error;
}

/** The socket failed, before PostgreSQL has said anything. */
function isNetworkError(code: string): boolean {
  return /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)/.test(code);
}

/** The cause in a few words: several addresses of one name fail with one message each and none of their own. */
function outageText(error: unknown): string {
  const message = error instanceof Error ? error.message.replace(/^PostgreSQL does not answer: ?/, '') : String(error);
  if (message !== '') return message;
  const inner = error instanceof Error && error.cause instanceof AggregateError ? error.cause.errors : [];
  return inner[0] instanceof Error ? inner[0].message : 'it does not answer';
}
