/**
 * A node's metrics of its upstreams' limits: what was spent and how it was answered, what is in hand, wanted and
 * closed. `docs/metrics.md` is the table. Told by the spender of each answer; asked by a scrape.
 */
import { Counter, Gauge, type Registry } from 'prom-client';

/** One answer, as far as one limit is concerned. */
export interface Spent {
  upstream: string;
  limit: string;
  /** The key of a bucket that nodes share; undefined: a member's own, of which there are too many. */
  key: string | undefined;
  status: number;
  tokens: number;
  /** A refusal that is this limit's. */
  isRefusal: boolean;
  /** Tokens that are left, as the answer says. */
  remaining: number | undefined;
}

/** A bucket that nodes share, as it stands on this node. */
export interface BucketState {
  upstream: string;
  limit: string;
  has: number;
  wants: number;
  isClosed: boolean;
}

/** Keys of one limit whose remainder is shown. */
const MOST_KEYS = 100;

export class BudgetMetrics {
  private readonly spent: Counter<'upstream' | 'limit' | 'outcome'>;
  private readonly exceeded: Counter<'upstream' | 'limit'>;
  private readonly remaining: Gauge<'upstream' | 'limit' | 'key'>;
  private readonly keys = new Map<string, Set<string>>();
  /** Tokens that were spent since the last look at the counter, by upstream and limit, then by the answers' class. */
  private readonly untold = new Map<string, Map<string, number[]>>();

  constructor(registry: Registry, states: () => Iterable<BucketState>) {
    const registers = [registry];
    this.spent = new Counter({
      name: 'longwatch_budget_spent_total',
      help: 'Tokens spent, by the class of the answer: 2xx, 3xx, 4xx, 5xx',
      labelNames: ['upstream', 'limit', 'outcome'],
      registers,
      collect: () => this.tellSpent(),
    });
    this.exceeded = new Counter({
      name: 'longwatch_budget_exceeded_total',
      help: 'Answers by which the upstream said that a limit is exceeded (wanted: 0)',
      labelNames: ['upstream', 'limit'],
      registers,
    });
    this.remaining = new Gauge({
      name: 'longwatch_budget_remaining',
      help: 'Tokens that are left of a shared bucket, as the upstream said last; the first 100 keys of a limit',
      labelNames: ['upstream', 'limit', 'key'],
      registers,
    });
    const sums: [name: string, help: string, of: (state: BucketState) => number][] = [
      ['has', 'Tokens of shared buckets that this node may spend', ({ has }) => has],
      ['wants', 'Requests that wait here for a shared bucket', ({ wants }) => wants],
      ['closed', 'Shared buckets that are closed', ({ isClosed }) => (isClosed ? 1 : 0)],
    ];
    for (const [name, help, of] of sums) {
      new Gauge({
        name: `longwatch_budget_${name}`,
        help,
        labelNames: ['upstream', 'limit'],
        registers,
        collect() {
          this.reset();
          for (const state of states()) this.inc({ upstream: state.upstream, limit: state.limit }, of(state));
        },
      });
    }
  }

  note({ upstream, limit, key, status, tokens, isRefusal, remaining }: Spent): void {
    if (Number.isFinite(tokens) && tokens > 0) this.add(upstream, limit, Math.floor(status / 100), tokens);
    if (isRefusal) this.exceeded.inc({ upstream, limit });
    if (key !== undefined && remaining !== undefined && this.isShown(`${upstream}/${limit}`, key))
      this.remaining.set({ upstream, limit, key }, remaining);
  }

  /** Each answer of each limit comes here: labels are looked up when somebody looks. */
  private add(upstream: string, limit: string, of: number, tokens: number): void {
    let byLimit = this.untold.get(upstream);
    if (!byLimit) this.untold.set(upstream, (byLimit = new Map<string, number[]>()));
    let sums = byLimit.get(limit);
    if (!sums) byLimit.set(limit, (sums = new Array<number>(10).fill(0)));
    sums[of] = (sums[of] ?? 0) + tokens;
  }

  private tellSpent(): void {
    for (const [upstream, byLimit] of this.untold)
      for (const [limit, sums] of byLimit)
        sums.forEach((tokens, of) => tokens > 0 && this.spent.inc({ upstream, limit, outcome: `${of}xx` }, tokens));
    this.untold.clear();
  }

  private isShown(limit: string, key: string): boolean {
    let keys = this.keys.get(limit);
    if (!keys) this.keys.set(limit, (keys = new Set()));
    if (keys.size < MOST_KEYS) keys.add(key);
    return keys.has(key);
  }
}
