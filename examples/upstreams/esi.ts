/**
 * EVE's ESI with its two limiters (https://developers.eveonline.com/docs/services/esi/rate-limiting/). A route has one
 * or the other.
 * - The new one: a floating window for each group and character (or address, without a token). 2xx cost 2 tokens, 3xx
 *   1, 4xx 5 but a 429 nothing, 5xx nothing. Past it: 429 with `Retry-After`.
 * - The old one: 100 answers that are neither 2xx nor 3xx in a fixed window of a minute for each address; then 420 on
 *   **every** route of the old limiter until the window ends.
 */
import { FixedCount, FloatingCount } from './counts';
import { SimulatedUpstream, wantedStatus, type Answered, type Asked } from './server';

interface Route {
  group: string;
  tokens: number;
  window: number;
  text: string;
  /** Nobody logs in for it: all characters spend from one bucket of the address. */
  isPublic?: boolean;
}

/** Routes of the new limiter: `/characters/{id}/NAME/`, their group and its limit. */
const GROUPS: Record<string, Route> = {
  location: { group: 'char-location', tokens: 1_200, window: 900, text: '1200/15m' },
  ship: { group: 'char-location', tokens: 1_200, window: 900, text: '1200/15m' },
  online: { group: 'char-location', tokens: 1_200, window: 900, text: '1200/15m' },
  wallet: { group: 'char-wallet', tokens: 150, window: 900, text: '150/15m' },
  portrait: { group: 'char-public', tokens: 2_000, window: 900, text: '2000/15m', isPublic: true },
};

const ERRORS = 100;
const ERRORS_WINDOW = 60;

export function esiCost(status: number): number {
  if (status < 300) return 2;
  if (status < 400) return 1;
  return status === 429 || status >= 500 ? 0 : 5;
}

export interface EsiOptions {
  /** Times the tokens of the groups, for worlds in which only half of the demand fits. */
  share?: number;
}

export class Esi extends SimulatedUpstream {
  private readonly buckets = new Map<string, FloatingCount>();
  /** By address. */
  private readonly errors = new Map<string, FixedCount>();
  private readonly phase: number;

  constructor(
    private readonly options: EsiOptions = {},
    ...time: ConstructorParameters<typeof SimulatedUpstream>
  ) {
    super(...time);
    this.phase = this.random() * ERRORS_WINDOW;
  }

  answer(asked: Asked): Answered {
    const match = /^\/characters\/(\d{1,15})\/([a-z]{1,20})\/?$/.exec(asked.path);
    const route = match && Object.hasOwn(GROUPS, match[2]!) ? GROUPS[match[2]!] : undefined;
    return route ? this.ofGroup(asked, route, match![1]!) : this.ofErrors(asked);
  }

  private ofGroup(asked: Asked, route: Route, character: string): Answered {
    const { group, window } = route;
    const now = this.now();
    const limit = Math.round(route.tokens * (this.options.share ?? 1));
    const key = `${group}/${route.isPublic ? addressOf(asked) : character}`;
    const bucket = this.buckets.get(key) ?? new FloatingCount(limit, window);
    this.buckets.set(key, bucket);
    const status = wantedStatus(asked);
    const cost = esiCost(status);
    const fits = bucket.fits(now, cost);
    if (fits) bucket.take(now, cost, true);
    this.note(key, !fits, cost);
    const remaining = bucket.remaining(now);
    const headers: Record<string, string> = {
      'x-ratelimit-group': group,
      'x-ratelimit-limit': `${limit}/${route.text.split('/')[1]!}`,
      'x-ratelimit-remaining': String(remaining),
      'x-ratelimit-used': String(limit - remaining),
    };
    if (!fits) {
      headers['retry-after'] = String(Math.max(1, Math.ceil(bucket.retryAfter(now, cost))));
      return { status: 429, headers, body: { error: 'Rate limit exceeded' } };
    }
    return { status, headers, body: { character: Number(character) } };
  }

  private ofErrors(asked: Asked): Answered {
    const now = this.now();
    const address = addressOf(asked);
    const errors = this.errors.get(address) ?? new FixedCount(ERRORS, ERRORS_WINDOW, this.phase);
    this.errors.set(address, errors);
    const isOver = errors.remaining(now) === 0;
    const status = isOver ? 420 : wantedStatus(asked);
    if (!isOver && status >= 400) errors.take(now, 1, true);
    this.note(`errors/${address}`, isOver, status >= 400 ? 1 : 0);
    const headers = {
      'x-esi-error-limit-remain': String(errors.remaining(now)),
      'x-esi-error-limit-reset': String(Math.max(1, Math.ceil(errors.reset(now)))),
    };
    return { status, headers, body: isOver ? { error: 'This software has exceeded the error limit for ESI.' } : {} };
  }
}

/** In a test all requests come from one machine; the header plays the address. */
const addressOf = (asked: Asked): string => asked.header('x-forwarded-for') ?? 'here';
