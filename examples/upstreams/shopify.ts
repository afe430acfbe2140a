/**
 * Shopify's leaky buckets, one for each shop's token (https://shopify.dev/docs/api/usage/limits).
 * - REST: 40 requests, 2 leak a second; `X-Shopify-Shop-Api-Call-Limit: 32/40`; past it 429 with `Retry-After`.
 * - GraphQL: 2,000 points, 100 leak a second. The most that a query may cost has to fit, its true cost is spent; the
 *   body tells, and past it the answer is a **200** with the error THROTTLED.
 */
import { LeakyCount } from './counts';
import { SimulatedUpstream, wantedStatus, type Answered, type Asked } from './server';

const REST = { size: 40, leaks: 2 };
const GRAPHQL = { size: 2_000, leaks: 100 };

export class Shopify extends SimulatedUpstream {
  private readonly buckets = new Map<string, LeakyCount>();

  answer(asked: Asked): Answered {
    const shop = asked.header('x-shopify-access-token');
    if (shop === undefined) return { status: 401, body: { errors: 'Invalid API key or access token' } };
    return asked.path.endsWith('/graphql.json') ? this.graphql(asked, shop) : this.rest(asked, shop);
  }

  private rest(asked: Asked, shop: string): Answered {
    const now = this.now();
    const bucket = this.bucketOf(`rest/${shop}`, REST);
    const fits = bucket.fits(now, 1);
    if (fits) bucket.take(now, 1, true);
    this.note(`rest/${shop}`, !fits, 1);
    const used = REST.size - bucket.remaining(now);
    const headers: Record<string, string> = { 'x-shopify-shop-api-call-limit': `${used}/${REST.size}` };
    if (fits) return { status: wantedStatus(asked), headers, body: {} };
    headers['retry-after'] = Math.max(0.1, bucket.retryAfter(now, 1)).toFixed(1);
    return { status: 429, headers, body: { errors: 'Exceeded 2 calls per second for api client.' } };
  }

  /** The cost is in the body, for nobody here reads GraphQL: `{ "requested": 101, "actual": 46 }`. */
  private graphql(asked: Asked, shop: string): Answered {
    const now = this.now();
    const { requested, actual } = costOf(asked.body);
    const bucket = this.bucketOf(`graphql/${shop}`, GRAPHQL);
    const fits = bucket.fits(now, requested);
    if (fits) bucket.take(now, actual, true);
    this.note(`graphql/${shop}`, !fits, actual);
    const cost = {
      requestedQueryCost: requested,
      actualQueryCost: fits ? actual : null,
      throttleStatus: {
        maximumAvailable: GRAPHQL.size,
        currentlyAvailable: bucket.remaining(now),
        restoreRate: GRAPHQL.leaks,
      },
    };
    const errors = fits ? undefined : [{ message: 'Throttled', extensions: { code: 'THROTTLED' } }];
    return { status: 200, body: { data: fits ? {} : null, errors, extensions: { cost } } };
  }

  /** Others have asked this shop before us: a random part of its bucket is full. */
  private bucketOf(key: string, { size, leaks }: { size: number; leaks: number }): LeakyCount {
    const known = this.buckets.get(key);
    if (known) return known;
    const now = this.now();
    const bucket = new LeakyCount(size, size / leaks, now);
    bucket.take(now, Math.floor(this.random() * size), false);
    this.buckets.set(key, bucket);
    return bucket;
  }
}

function costOf(body: unknown): { requested: number; actual: number } {
  const { requested, actual } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const most = typeof requested === 'number' && requested > 0 ? requested : 1;
  return { requested: most, actual: typeof actual === 'number' && actual >= 0 ? Math.min(actual, most) : most };
}
