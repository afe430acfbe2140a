/**
 * The upstream of the budget's scenarios: a floating window for each key, in which each spend is kept exactly, told by
 * headers or not; and a key can be refused on purpose. It has the last word on what was sent when.
 */
import { performance } from 'node:perf_hooks';
import { FloatingCount } from '../../examples/upstreams/counts';
import { SimulatedUpstream, type Answered, type Asked } from '../../examples/upstreams/server';

export interface CountedOptions {
  tokens: number;
  windowS: number;
  headers: boolean;
}

/** A request that came: of which key and node. Performance time, milliseconds. */
export interface Arrival {
  key: string;
  node: string;
  at: number;
}

export class CountedUpstream extends SimulatedUpstream {
  readonly arrivals: Arrival[] = [];
  asked = 0;
  served = 0;
  refused = 0;
  private readonly buckets = new Map<string, FloatingCount>();
  private readonly toRefuse = new Map<string, (node: string, at: number) => void>();

  constructor(private readonly options: CountedOptions) {
    super();
  }

  /** Refuses the next request of a key, for so many seconds. Resolves when it has come. */
  refuseNext(key: string): Promise<{ node: string; at: number }> {
    return new Promise((resolve) => this.toRefuse.set(key, (node, at) => resolve({ node, at })));
  }

  lower(tokens: number): void {
    this.options.tokens = tokens;
    for (const bucket of this.buckets.values()) bucket.limit = tokens;
  }

  answer({ path }: Asked): Answered {
    const [, key, node] = path.split('/') as [string, string, string];
    const at = performance.now();
    this.asked++;
    this.arrivals.push({ key, node, at });
    const refuse = this.toRefuse.get(key);
    if (refuse) {
      this.toRefuse.delete(key);
      refuse(node, at);
      return { status: 429, headers: { 'retry-after': '1' } };
    }
    const { tokens, windowS } = this.options;
    const bucket = this.buckets.get(key) ?? new FloatingCount(tokens, windowS);
    this.buckets.set(key, bucket);
    const now = this.now();
    const fits = bucket.fits(now, 1);
    if (fits) bucket.take(now, 1, true);
    const headers = {
      'x-ratelimit-limit': String(bucket.limit),
      'x-ratelimit-remaining': String(Math.max(0, bucket.remaining(now))),
    };
    const told = this.options.headers ? headers : {};
    if (fits) {
      this.served++;
      return { status: 200, headers: told, body: {} };
    }
    this.refused++;
    return { status: 429, headers: { ...told, 'retry-after': String(Math.ceil(bucket.retryAfter(now, 1))) } };
  }
}
