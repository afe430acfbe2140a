/** The errors that an operation throws to say more than 'it failed'. Read by the shift (`activities/tracker/shift`). */

import type { Received } from './answer';

/** For a hold that does not say how long, or says what cannot be. */
export const DEFAULT_HOLD_MS = 15_000;
/** The longest hold by default: an operation's `maxHold` may allow more. */
export const MAX_HOLD_MS = 60 * 60 * 1_000;
/** No hold is longer, whatever an option says. */
export const LONGEST_HOLD_MS = 7 * 24 * 60 * 60 * 1_000;

/**
 * The one place that bounds how long something is held: a number of milliseconds from 0 to `maxMs`. The default stands
 * for anything that is not a number, or is below zero. Everything that reads a HoldError asks here, for the error may
 * come from another copy of this package, or look like one.
 */
export function boundedHold(afterMs: unknown, maxMs = MAX_HOLD_MS): number {
  const given = typeof afterMs === 'number' && afterMs >= 0 ? afterMs : DEFAULT_HOLD_MS;
  return Math.round(Math.min(given, Math.max(0, maxMs), LONGEST_HOLD_MS));
}

/**
 * The extent of a hold: this operation for this member, this operation for every member, every operation of the
 * tracker.
 */
export type HoldScope = 'member' | 'operation' | 'tracker';
const SCOPES: readonly unknown[] = ['member', 'operation', 'tracker'] satisfies HoldScope[];

/** Marks a hold across copies of this package: a config that is loaded from its source may bring a second one. */
const HOLD = Symbol.for('longwatch.HoldError');

/**
 * The upstream asks to be left alone (429, 420, 503 with Retry-After): nothing of the scope runs until then, on any
 * node and after any restart; `longwatch hold list` shows it, `hold open` lifts it.
 * - `member`: this operation for this member (a bucket of its own, as ESI's per-character limiter).
 * - `operation`: this operation for every member (the default).
 * - `tracker`: every operation of the tracker (a limiter of the whole address).
 */
export class HoldError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    try {
      return typeof value === 'object' && value !== null && HOLD in value;
    } catch {
      // A proxy that does not say.
      return false;
    }
  }
  readonly [HOLD] = true;
  override readonly name = 'HoldError';
  readonly scope: HoldScope;
  /**
   * How long from now, milliseconds: from 0 to a week. The shift that obeys it may have a shorter bound: an operation's
   * `maxHold`.
   */
  readonly afterMs: number;
  constructor(message: string, options: { afterMs: number; scope?: HoldScope; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.afterMs = boundedHold(options.afterMs, LONGEST_HOLD_MS);
    this.scope = options.scope ?? 'operation';
  }
}

/** The content of a HoldError, once it is read. */
interface HoldWish {
  forMs: number;
  scope: HoldScope;
  /** The word that stood in place of a known scope. */
  oddScope?: string;
}

/**
 * Reads a HoldError, or what looks like one: from another copy of this package, or from code without types. A scope
 * that there is not means the operation: a word that nobody knows holds neither the whole tracker nor, for a limit of
 * all, only one member.
 * @returns undefined: it is not a hold
 */
export function readHold(error: unknown, maxMs = MAX_HOLD_MS): HoldWish | undefined {
  if (!(error instanceof HoldError)) return undefined;
  const [afterMs, scope] = [partOf(error, 'afterMs'), partOf(error, 'scope')];
  const forMs = boundedHold(afterMs, maxMs);
  if (SCOPES.includes(scope)) return { forMs, scope: scope as HoldScope };
  return { forMs, scope: 'operation', oddScope: typeof scope === 'string' ? scope : typeof scope };
}

function partOf(error: HoldError, part: 'afterMs' | 'scope'): unknown {
  try {
    return error[part];
  } catch {
    // A getter that throws says nothing.
    return undefined;
  }
}

/**
 * Why a request failed.
 * - `status`: an answer that is neither 2xx nor 304, and no hold.
 * - `garbage`: a 2xx whose body is not JSON, or cannot be unpacked or read in its charset.
 * - `too large`: a body past `maxBodyBytes`, as it came or unpacked; reading stopped there.
 * - `closed`: the connection could not be made, or ended before the answer did.
 * - `timeout`: no whole answer in time. `aborted`: the caller's signal fired, or the upstream was closed.
 * - `request`: the request itself could not be sent (a bad path or header).
 */
export type UpstreamFailure = 'status' | 'garbage' | 'too large' | 'closed' | 'timeout' | 'aborted' | 'request';

/**
 * A request that failed. Its response can be asked for (`header`, `text`, `body`) and is never printed: neither
 * the message, nor JSON, nor `inspect` shows a header, query, body or cause, so that no secret travels with the error.
 */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly failure: UpstreamFailure;
  /** The HTTP status; 0 where none arrived. */
  readonly status: number;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  readonly #received: Received | undefined;
  constructor(
    message: string,
    options: { failure: UpstreamFailure; status?: number; retryable: boolean; received?: Received },
  ) {
    super(message);
    this.failure = options.failure;
    this.status = options.status ?? 0;
    this.retryable = options.retryable;
    this.#received = options.received;
  }

  /** Any header of the refusal, by its name in lower case. */
  header(name: string): string | undefined {
    return this.#received?.header(name);
  }

  /** The refusal's body, 64 KiB at most; empty where there was none or it cannot be read. */
  get text(): string {
    return this.#received?.text ?? '';
  }

  /** The refusal's body as JSON; undefined where it is none. */
  get body(): unknown {
    return this.#received?.body;
  }
}
