/**
 * EVE's ESI. Two limiters, a route has one or the other
 * (https://developers.eveonline.com/docs/services/esi/rate-limiting/): `X-Ratelimit-Group: char-location`,
 * `X-Ratelimit-Limit: 1200/15m`, `X-Ratelimit-Remaining`, `X-Ratelimit-Used` of a floating window; and the older one's
 * `X-ESI-Error-Limit-Remain` and `-Reset` (seconds) of a fixed window of a minute.
 */
import { amount, limitTokens, secondsUntil, windowSeconds, type LimitReader } from './answer';

export const esiGroup: LimitReader = (answer) => {
  const name = answer.header('x-ratelimit-group');
  // Others say X-Ratelimit-Remaining too, and mean something else.
  if (name === undefined) return [];
  const [tokens, window] = (answer.header('x-ratelimit-limit') ?? '').split('/');
  const limit = limitTokens(amount(tokens));
  const used = amount(answer.header('x-ratelimit-used'));
  const remaining =
    amount(answer.header('x-ratelimit-remaining')) ??
    (limit === undefined || used === undefined ? undefined : Math.max(0, limit - used));
  if (remaining === undefined) return [];
  return [{ name, remaining, limit, window: windowSeconds(window) }];
};

const ERRORS_WINDOW = 60;

export const esiErrors: LimitReader = (answer, now) => {
  const remaining = amount(answer.header('x-esi-error-limit-remain'));
  if (remaining === undefined) return [];
  const reset = secondsUntil(answer.header('x-esi-error-limit-reset'), answer, now);
  return [{ remaining, window: ERRORS_WINDOW, reset }];
};
