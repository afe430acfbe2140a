/** What an operation throws to say more than 'it failed'. Read by the shift (`activities/shift`). */

/** Marks a hold across copies of this package: a config that is loaded from its source may bring a second one. */
const HOLD = Symbol.for('longwatch.HoldError');

/**
 * The upstream asks to be left alone (429, 420, 503 with Retry-After): nothing of the scope runs until then.
 * - `member`: this operation for this member (a bucket of its own, as ESI's per-character limiter).
 * - `operation`: this operation for every member on this node (the default).
 * - `tracker`: every operation of the tracker on this node (a limiter of the whole address).
 */
export class HoldError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && HOLD in value;
  }
  readonly [HOLD] = true;
  override readonly name = 'HoldError';
  readonly scope: 'member' | 'operation' | 'tracker';
  /** How long from now, milliseconds. */
  readonly afterMs: number;
  constructor(
    message: string,
    options: { afterMs: number; scope?: 'member' | 'operation' | 'tracker'; cause?: unknown },
  ) {
    super(message, { cause: options.cause });
    this.afterMs = Math.max(0, options.afterMs);
    this.scope = options.scope ?? 'operation';
  }
}

/**
 * Why a request failed.
 * - `status`: an answer that is neither 2xx nor 304, and no hold.
 * - `garbage`: a 2xx whose body is not JSON.
 * - `too large`: a body past `maxBodyBytes`; reading stopped there.
 * - `closed`: the connection could not be made, or ended before the answer did.
 * - `timeout`: no whole answer in time. `aborted`: the caller's signal fired, or the upstream was closed.
 * - `request`: the request itself could not be sent (a bad path or header).
 */
export type UpstreamFailure = 'status' | 'garbage' | 'too large' | 'closed' | 'timeout' | 'aborted' | 'request';

/** A request that failed. Carries no header, query, body or cause, so that no secret can travel with it. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly failure: UpstreamFailure;
  /** The HTTP status; 0 where none arrived. */
  readonly status: number;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  constructor(message: string, options: { failure: UpstreamFailure; status?: number; retryable: boolean }) {
    super(message);
    this.failure = options.failure;
    this.status = options.status ?? 0;
    this.retryable = options.retryable;
  }
}
