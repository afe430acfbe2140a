/**
 * How long a refused answer asks to be left alone: `Retry-After`, the reset of a rate limit, ESI's own header. Pure;
 * called by `call.ts`, which makes a HoldError of it.
 */
import { httpDate } from './freshness';
import { headerOf } from './headers';

/** No hold is shorter: a server that refuses is not asked again at once, whatever its clock says. */
const SHORTEST_MS = 1_000;

/** From here on a number is a time and not a number of seconds to wait: as seconds that would be thirty years. */
const EPOCH_SECONDS = 1e9;
const EPOCH_MILLISECONDS = 1e12;

/** The names that limiters give the counter of what is left, and the time at which it begins anew. */
const LIMITS = [
  ['x-ratelimit-remaining', 'x-ratelimit-reset'],
  ['x-rate-limit-remaining', 'x-rate-limit-reset'],
  ['ratelimit-remaining', 'ratelimit-reset'],
] as const;

/**
 * Statuses that mean a hold where `Retry-After` is there: GitHub says 'slow down' with 403, gateways with 502 to 504.
 */
const WITH_RETRY_AFTER = new Set([403, 502, 503, 504]);

/**
 * Milliseconds from now, or undefined where the answer is an error and not a hold. A value that cannot be read, is over
 * or is not above zero counts as `defaultMs`. Not bounded above: HoldError and the operation's `maxHold` see to that.
 */
export function askedHoldMs(
  status: number,
  raw: readonly Buffer[],
  now: number,
  defaultMs: number,
): number | undefined {
  const always = status === 429 || status === 420;
  if (!always && !WITH_RETRY_AFTER.has(status)) return undefined;
  const said = headerOf(raw, 'retry-after') ?? resetOf(status, raw);
  if (said === undefined && !always) return undefined;
  const date = headerOf(raw, 'date');
  const serverNow = (date === undefined ? undefined : httpDate(date, now)) ?? now;
  const told = said === undefined ? undefined : waitMs(said, serverNow, now);
  return Math.max(SHORTEST_MS, told ?? defaultMs);
}

function resetOf(status: number, raw: readonly Buffer[]): string | undefined {
  if (status === 420) return headerOf(raw, 'x-esi-error-limit-reset');
  if (status !== 429 && status !== 403) return undefined;
  for (const [remaining, reset] of LIMITS) {
    const left = headerOf(raw, remaining)?.trim();
    // A 403 is an error of its own kind unless the limiter says that nothing is left.
    if (left === '0' || (left === undefined && status === 429)) {
      const at = headerOf(raw, reset);
      if (at !== undefined) return at;
    }
  }
  return undefined;
}

/**
 * Seconds, epoch seconds (or milliseconds), or an HTTP date by the server's clock; undefined: unreadable, or not ahead.
 */
function waitMs(value: string, serverNow: number, now: number): number | undefined {
  const text = value.trim();
  let wait: number | undefined;
  if (/^\d+(\.\d+)?$/.test(text)) {
    const number = Number(text);
    if (number >= EPOCH_MILLISECONDS) wait = number - serverNow;
    else if (number >= EPOCH_SECONDS) wait = number * 1_000 - serverNow;
    else wait = number * 1_000;
  } else {
    const at = httpDate(text, now);
    wait = at === undefined ? undefined : at - serverNow;
  }
  return wait !== undefined && wait > 0 ? wait : undefined;
}
