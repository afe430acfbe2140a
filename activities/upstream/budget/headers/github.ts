/**
 * GitHub (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api): `X-RateLimit-Limit`,
 * `-Remaining`, `-Reset` in epoch seconds, `-Resource` (core, search, graphql …). The same form with `X-Rate-Limit-…`
 * is used by many. Its secondary limits are told by no header: they are only refusals with `Retry-After`.
 */
import { amount, limitTokens, secondsUntil, type LimitReader } from './answer';

/** Windows of an hour, but for these. */
const MINUTES = new Set(['search', 'code_search']);

export const github: LimitReader = (answer, now) => {
  const told = rateLimit('x-ratelimit')(answer, now);
  return told.map((limit) => ({ ...limit, window: MINUTES.has(limit.name ?? '') ? 60 : 3_600 }));
};

/** Headers of this prefix, whose window nobody says. */
export function rateLimit(prefix: 'x-ratelimit' | 'x-rate-limit'): LimitReader {
  return (answer, now) => {
    const remaining = amount(answer.header(`${prefix}-remaining`));
    if (remaining === undefined) return [];
    const limit = limitTokens(amount(answer.header(`${prefix}-limit`)));
    const reset = secondsUntil(answer.header(`${prefix}-reset`), answer, now);
    return [{ name: answer.header(`${prefix}-resource`), remaining, limit, reset }];
  };
}
