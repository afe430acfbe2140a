/** What an operation throws to say more than 'it failed'. Read by the shift (`activities/shift`). */

/**
 * The upstream asks to be left alone (429, 420, 503 with Retry-After): nothing of the scope runs until then.
 * - `member`: this operation for this member (a bucket of its own, as ESI's per-character limiter).
 * - `operation`: this operation for every member on this node (the default).
 * - `tracker`: every operation of the tracker on this node (a limiter of the whole address).
 */
export class HoldError extends Error {
  override readonly name = 'HoldError';
  readonly scope: 'member' | 'operation' | 'tracker';
  /** How long from now, milliseconds. */
  readonly afterMs: number;
  constructor(message: string, options: { afterMs: number; scope?: 'member' | 'operation' | 'tracker'; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.afterMs = Math.max(0, options.afterMs);
    this.scope = options.scope ?? 'operation';
  }
}
