/**
 * The error of a request that failed (`UpstreamError`, thrown by `http.ts`), and the content of a `HoldError`, read by
 * the shift, by passes and by durable activities. The errors that a user throws are in `config/define/errors.ts`.
 */
import { boundedHold, HoldError, MAX_HOLD_MS, type HoldScope } from '../../config/define/errors';
import type { Received } from './answer';

const SCOPES: readonly unknown[] = ['member', 'operation', 'tracker'] satisfies HoldScope[];

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
