/**
 * A spender of buckets that a test fills by hand: one limit, a bucket for each id. It keeps to what the real one
 * promises (`spender.ts`): nobody overtakes who waits, and who is woken takes at once.
 */
import type {
  Answered,
  Purse,
  Reservation,
  Shortage,
  Spender,
  Use,
  Waiter,
} from '../../activities/upstream/budget/spender';
import type { Replied } from '../../activities/upstream/spending';

export class FakeBucket {
  readonly waiters = new Set<Waiter>();
  underWay = 0;
  most = 0;
  serving = false;
  waitMs = Infinity;

  constructor(
    readonly key: string,
    public tokens: number,
  ) {}

  give(tokens: number): void {
    this.tokens += tokens;
    this.serving = true;
    for (let left = this.waiters.size; left > 0 && this.tokens >= 1; left--) {
      const [first] = this.waiters;
      this.waiters.delete(first!);
      first!.wake();
    }
    this.serving = false;
  }

  get isFree(): boolean {
    return this.tokens >= 1 && (this.serving || this.waiters.size === 0);
  }
}

export class FakeSpender implements Spender {
  readonly buckets = new Map<string, FakeBucket>();
  readonly uses: Use[] = [];
  readonly answers: Replied[] = [];
  /** The upstream that its shortages name. */
  reserveAs = 'fake';
  drawn = 0;
  released = 0;

  constructor(
    private readonly keyOf: (use: Use) => string = ({ id }) => id ?? '',
    private readonly tokens = 0,
  ) {}

  bucket(key: string): FakeBucket {
    let bucket = this.buckets.get(key);
    if (!bucket) this.buckets.set(key, (bucket = new FakeBucket(key, this.tokens)));
    return bucket;
  }

  reserve(upstream: string, use: Use): Reservation | Shortage {
    if (upstream !== 'fake') throw new TypeError(`there is no upstream '${upstream}' here`);
    const bucket = this.bucket(this.keyOf(use));
    this.uses.push(use);
    if (!bucket.isFree) return shortage(bucket, this.reserveAs);
    bucket.tokens--;
    let left = 1;
    return {
      isShort: false,
      draw: () => {
        if (left === 0 && bucket.tokens < 1) return shortage(bucket, this.reserveAs);
        if (left > 0) left--;
        else bucket.tokens--;
        this.drawn++;
        bucket.most = Math.max(bucket.most, ++bucket.underWay);
        return {
          isShort: false,
          maySend: true,
          report: (answer: Replied | Answered) => {
            bucket.underWay--;
            this.answers.push(answer);
            return false;
          },
          release: () => void bucket.underWay--,
          lose: () => void bucket.underWay--,
        };
      },
      end: () => {
        bucket.tokens += left;
        this.released += left;
        left = 0;
      },
    };
  }

  release(): void {
    // It has none.
  }

  /** No bucket is a member's own. */
  purse(): Purse {
    const nothing = (): void => undefined;
    return {
      load: nothing,
      leave: nothing,
      harvest: () => [],
      flushed: nothing,
      end: nothing,
      isStored: true,
      bytes: 0,
    };
  }
}

function shortage(bucket: FakeBucket, upstream: string): Shortage {
  return {
    isShort: true,
    upstream,
    limit: 'l',
    key: bucket.key,
    isClosed: false,
    waitMs: bucket.waitMs,
    join: (waiter) => {
      bucket.waiters.add(waiter);
      return () => bucket.waiters.delete(waiter);
    },
  };
}
