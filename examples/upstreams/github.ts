/**
 * GitHub's REST limits (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api).
 * - Primary: 5,000 requests an hour for each token (60 for an address without one), 30 a minute for `/search`; a 304 to
 *   a request with a token costs nothing. Past it: 403, `X-RateLimit-Remaining: 0`.
 * - Secondary, told by no header: 100 requests at once, and 900 points a minute for one endpoint (a read is 1, a write
 *   5). Past it: 403 with `Retry-After`, while the primary limit has plenty left.
 */
import { FixedCount, FloatingCount } from './counts';
import { SimulatedUpstream, wantedStatus, type Answered, type Asked } from './server';

const HOUR = 3_600;
const MINUTE = 60;
const AT_ONCE = 100;
const POINTS = 900;

interface Resource {
  name: 'core' | 'search';
  tokens: number;
  window: number;
}

export class GitHub extends SimulatedUpstream {
  private readonly primary = new Map<string, FixedCount>();
  private readonly points = new Map<string, FloatingCount>();
  private readonly underWay = new Map<string, number>();
  private readonly counted = new WeakSet<Asked>();

  answer(asked: Asked): Answered {
    const now = this.now();
    const token = asked.header('authorization');
    const who = token ?? 'address';
    const resource = resourceOf(asked, token !== undefined);
    const count = this.primaryOf(who, resource);
    const hasReached = this.secondary(asked, who, now);
    const cost = token !== undefined && wantedStatus(asked) === 304 ? 0 : 1;
    const fits = count.fits(now, cost);
    const key = `${resource.name}/${who}`;
    this.note(key, !fits || hasReached !== undefined, cost);
    // GitHub does not say whether a refusal for the secondary limit counts in the primary one: here it does.
    if (fits) count.take(now, cost, true);
    const headers = primaryHeaders(count, resource, now);
    if (!fits) return { status: 403, headers, body: { message: 'API rate limit exceeded' } };
    if (hasReached !== undefined) {
      headers['retry-after'] = String(hasReached);
      return { status: 403, headers, body: { message: 'You have exceeded a secondary rate limit' } };
    }
    this.counted.add(asked);
    this.underWay.set(who, (this.underWay.get(who) ?? 0) + 1);
    const takes = Number(asked.query.get('takes') ?? 0);
    return { status: wantedStatus(asked), headers, body: {}, takes: takes >= 0 && takes <= 60 ? takes : 0 };
  }

  override done(asked: Asked): void {
    if (!this.counted.has(asked)) return;
    const who = asked.header('authorization') ?? 'address';
    this.underWay.set(who, (this.underWay.get(who) ?? 1) - 1);
  }

  /** Windows begin when GitHub likes; each token has its own. */
  private primaryOf(who: string, { name, tokens, window }: Resource): FixedCount {
    const key = `${name}/${who}`;
    const count = this.primary.get(key) ?? new FixedCount(tokens, window, this.random() * window);
    this.primary.set(key, count);
    return count;
  }

  /** Seconds to wait; undefined: within it. */
  private secondary(asked: Asked, who: string, now: number): number | undefined {
    if ((this.underWay.get(who) ?? 0) >= AT_ONCE) return MINUTE;
    const key = `${who} ${asked.path}`;
    const points = this.points.get(key) ?? new FloatingCount(POINTS, MINUTE);
    this.points.set(key, points);
    const cost = ['GET', 'HEAD', 'OPTIONS'].includes(asked.method) ? 1 : 5;
    if (!points.fits(now, cost)) return Math.max(1, Math.ceil(points.retryAfter(now, cost)));
    points.take(now, cost, true);
    return undefined;
  }
}

function resourceOf(asked: Asked, hasToken: boolean): Resource {
  if (asked.path.startsWith('/search')) return { name: 'search', tokens: hasToken ? 30 : 10, window: MINUTE };
  return { name: 'core', tokens: hasToken ? 5_000 : 60, window: HOUR };
}

function primaryHeaders(count: FixedCount, { name }: Resource, now: number): Record<string, string> {
  const remaining = count.remaining(now);
  return {
    'x-ratelimit-limit': String(count.limit),
    'x-ratelimit-remaining': String(remaining),
    'x-ratelimit-used': String(count.limit - remaining),
    'x-ratelimit-reset': String(Math.ceil(now + count.reset(now))),
    'x-ratelimit-resource': name,
    date: new Date(now * 1_000).toUTCString(),
  };
}
