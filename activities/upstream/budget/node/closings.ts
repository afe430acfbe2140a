/**
 * Buckets that an upstream closed: the ledger is told at once, and with its commit every node; what others closed, or
 * somebody opened by hand, is heard here. A notification is a hint: whoever misses one hears of it with the next
 * renewal. Made by `index.ts` of this folder.
 */
import { closedFor, close, type Refusal } from '../ledger/closing';
import type { Bucket } from '../ledger/bucket';
import { advance } from '../ledger/statement';
import { Background } from '../../../lib/service';
import type { BucketName } from '../../store/bucket-row';
import type { LimitClosing, LimitName } from '../../store/limit-closings';
import type { LedgerDesk } from './ledger-desk';
import type { SharedBucket } from './shared';

/** Buckets of one statement. */
const SLICE = 200;
/** A payload of NOTIFY has 8,000 bytes at most. */
const MOST_BYTES = 7_500;

/** After a statement that failed; of one bucket the last refusals. */
const AGAIN_MS = 1_000;
const MOST_LOST = 10;

/**
 * A closing as it is told: upstream, limit, key, seconds from then on, generation. Without a key it is of the whole
 * limit: of keys that have no row, and with its serial.
 */
type Word = [upstream: string, limit: string, key: string, closedFor: number, generation: number];

export interface ClosingHost {
  find(name: BucketName): SharedBucket | undefined;
  /** A person's word on all keys of a limit: closed for so many seconds, or open. */
  hearLimit(limit: LimitName, closedFor: number, serial: number): void;
}

interface Untold {
  refusal: Refusal;
  reason: string;
  at: number;
}

export class Closings extends Background {
  private untold = new Map<SharedBucket, Untold[]>();
  /** The ledger could not be told of these. */
  private lost = new Map<SharedBucket, Untold[]>();
  private timer: NodeJS.Timeout | undefined;
  private telling: Promise<void> | undefined;

  constructor(
    private readonly desk: LedgerDesk,
    private readonly spender: ClosingHost,
    /** Seconds, monotonic. */
    private readonly now: () => number,
  ) {
    super();
  }

  protected open(): Promise<void> {
    return Promise.resolve();
  }

  protected async close(): Promise<void> {
    clearTimeout(this.timer);
    while (this.telling) await this.telling;
  }

  tell(bucket: SharedBucket, refusal: Refusal, reason: string): void {
    this.enqueue(bucket, { refusal, reason, at: this.now() });
  }

  private enqueue(bucket: SharedBucket, untold: Untold): void {
    const list = this.untold.get(bucket) ?? [];
    list.push(untold);
    this.untold.set(bucket, list);
    // Refusals of this moment go together; others that come while these are told go with the next.
    this.telling ??= Promise.resolve()
      .then(() => this.tellAll())
      .finally(() => (this.telling = undefined));
  }

  private async tellAll(): Promise<void> {
    while (this.untold.size > 0) {
      const all = [...this.untold].slice(0, SLICE);
      for (const [bucket] of all) this.untold.delete(bucket);
      await this.tellThese(new Map(all));
    }
  }

  private async tellThese(untold: ReadonlyMap<SharedBucket, readonly Untold[]>): Promise<void> {
    const outcomes = await this.desk.change([...untold.keys()], (bucket, of, time) => {
      const { rule } = of.limit;
      advance(bucket, rule, time);
      let isNews = false;
      let closedReason: string | undefined;
      for (const { refusal, reason, at } of untold.get(of)!) {
        const since = this.now() - at;
        const { sentAgo, answeredAgo } = refusal;
        const told = { ...refusal, sentAgo: sentAgo + since, answeredAgo: answeredAgo + since };
        if (!close(bucket, rule, told)) continue;
        isNews = true;
        closedReason = reason;
      }
      return { result: { closedFor: closedFor(bucket), generation: bucket.closed.generation }, closedReason, isNews };
    });
    for (const [bucket, outcome] of outcomes) {
      // Each refusal has an answer of its own.
      untold.get(bucket)!.forEach(() => {
        if ('result' in outcome) bucket.hearClosed(outcome.result.closedFor, outcome.result.generation, true);
        else bucket.account.closingLost();
      });
      if ('error' in outcome) this.tellLater(bucket, untold.get(bucket)!);
    }
  }

  /** The ledger could not be told: it holds on this node, and the others hear of it once they can. */
  private tellLater(bucket: SharedBucket, untold: readonly Untold[]): void {
    if (this.isStopping) return;
    this.lost.set(bucket, [...(this.lost.get(bucket) ?? []), ...untold].slice(-MOST_LOST));
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      const { lost } = this;
      this.lost = new Map();
      for (const [of, list] of lost)
        for (const { refusal, reason, at } of list)
          if (this.now() - at < refusal.for) this.enqueue(of, { refusal, reason, at });
    }, AGAIN_MS);
    this.timer.unref();
  }

  /** A notification; undefined: the connection was made anew, and renewals tell what was missed. */
  heard(payload: string | undefined): void {
    for (const [upstream, limit, key, seconds, count] of wordsOf(payload)) {
      if (key === '') this.spender.hearLimit({ upstream, limit }, seconds, count);
      else this.spender.find({ upstream, limit, key })?.hearClosed(seconds, count, false);
    }
  }
}

/** The notification of a word on a whole limit. */
export function limitPayload({ upstream, limit, closedFor: seconds, serial }: LimitClosing): string {
  return JSON.stringify([[upstream, limit, '', seconds, serial] satisfies Word]);
}

/** The notifications for these closings, each as long as it may be. */
export function payloadsOf(news: readonly { bucket: Bucket; of: { name: BucketName } }[]): string[] {
  const payloads: string[] = [];
  let words: string[] = [];
  let bytes = 0;
  for (const { bucket, of } of news) {
    const { upstream, limit, key } = of.name;
    const seconds = Math.ceil(closedFor(bucket) * 1_000) / 1_000;
    const word = JSON.stringify([upstream, limit, key, seconds, bucket.closed.generation] satisfies Word);
    const size = Buffer.byteLength(word) + 1;
    if (bytes + size > MOST_BYTES && words.length > 0) {
      payloads.push(`[${words.join(',')}]`);
      words = [];
      bytes = 0;
    }
    words.push(word);
    bytes += size;
  }
  if (words.length > 0) payloads.push(`[${words.join(',')}]`);
  return payloads;
}

/** Anybody may notify: what is not ours is nothing. */
function wordsOf(payload: string | undefined): Word[] {
  try {
    const words = JSON.parse(payload ?? '[]') as unknown;
    return Array.isArray(words) ? words.filter(isWord) : [];
  } catch {
    return [];
  }
}

function isWord(word: unknown): word is Word {
  if (!Array.isArray(word) || word.length !== 5) return false;
  const numbers = (word.slice(3) as unknown[]).every((value) => typeof value === 'number' && value >= 0);
  return numbers && (word.slice(0, 3) as unknown[]).every((value) => typeof value === 'string');
}
