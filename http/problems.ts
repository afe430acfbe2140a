/**
 * From a failure to an answer: the status says whose turn it is, the code and the words are those of the library. A
 * failure that nobody foresaw is told to the log and not to the caller: its message may have something in it that is
 * secret. Called by `app.ts` and `stream.ts`.
 */
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { DatabaseUnavailableError, LongwatchError } from '../client/errors';
import { explain } from '../client/explain';
import { ConfigError, EnvironmentError } from '../config/errors';
import type { Problem } from './schemas';

/** Seconds after which it is worth trying again what could not be done for a server that is away. */
const TRY_AGAIN_S = 5;

/** Things that are not there, or cannot be as they are now; servers that do not answer. All else is 400 or 500. */
const STATUS: Record<string, ContentfulStatusCode> = {
  UnknownTracker: 404,
  UnknownBuffer: 404,
  UnknownJob: 404,
  UnknownNode: 404,
  UnknownPool: 404,
  UnknownOperation: 404,
  UnknownUpstream: 404,
  UnknownBucket: 404,
  UnknownKey: 404,
  UnknownLetter: 404,
  NotTracked: 404,
  NotFound: 404,
  TrackerStopped: 409,
  BufferStopped: 409,
  JobStopped: 409,
  TrackerGone: 409,
  BufferGone: 409,
  JobGone: 409,
  Refused: 409,
  Changed: 412,
  RequestGoesOn: 409,
  RequestUnanswered: 409,
  RequestDiffers: 422,
  ForeignNamespace: 409,
  EncodingMismatch: 409,
  TooOld: 409,
  MemberRemoved: 409,
  DoesNotReceive: 409,
  HandlerFailed: 422,
  MailboxFull: 503,
  SendUnanswered: 503,
  RequestTimedOut: 503,
  BufferFull: 503,
  TemporalUnavailable: 503,
  DatabaseUnavailable: 503,
  DatabaseNotMigrated: 503,
  ReplicaUnavailable: 503,
  NoWorker: 503,
  PushUnanswered: 503,
  TimedOut: 503,
};

export interface Failure {
  status: ContentfulStatusCode;
  body: Problem;
  headers: Record<string, string>;
  /** To be logged: nobody foresaw it. */
  unexpected: boolean;
}

/** A failure that the API itself sees: a wrong body, a token that may not. */
export class ApiError extends Error {
  constructor(
    readonly status: ContentfulStatusCode,
    readonly code: string,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof ApiError) return failure(thrown.status, thrown.code, thrown.message, thrown.headers);
  if (thrown instanceof LongwatchError) {
    const code = codeOf(thrown);
    return failure(STATUS[code] ?? (thrown.usage ? 400 : 500), code, thrown.message);
  }
  if (thrown instanceof ConfigError) return failure(400, 'Config', thrown.message);
  if (thrown instanceof EnvironmentError) return failure(503, 'Environment', 'the servers are not known');
  const { message, unexpected } = explain(thrown);
  if (!unexpected) return failure(503, 'Unavailable', message);
  const sorry = 'it failed in a way that nobody foresaw; the log of this process says how';
  return { ...failure(500, 'Internal', sorry), unexpected: true };
}

/** A push that was refused whole, or what could not be begun: it may be tried again with the same key. */
export function hasDoneNothing(thrown: unknown): boolean {
  if (thrown instanceof ApiError || thrown instanceof ConfigError) return true;
  const { acceptedSoFar, accepted } = (thrown ?? {}) as { acceptedSoFar?: number; accepted?: unknown };
  if (acceptedSoFar !== undefined && acceptedSoFar > 0) return false;
  if (thrown instanceof DatabaseUnavailableError) return acceptedSoFar === undefined;
  if (!(thrown instanceof LongwatchError)) return false;
  // One that was stopped in the middle of a tick has begun it.
  return thrown.usage || accepted === false || (STATUS[codeOf(thrown)] === 409 && codeOf(thrown) !== 'JobStopped');
}

const codeOf = (error: Error): string => error.constructor.name.replace(/Error$/, '');

function failure(
  status: ContentfulStatusCode,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): Failure {
  const again: Record<string, string> = status === 503 ? { 'retry-after': String(TRY_AGAIN_S) } : {};
  return { status, body: { error: { code, message } }, headers: { ...again, ...headers }, unexpected: false };
}
