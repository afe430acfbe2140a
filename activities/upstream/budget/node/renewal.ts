/**
 * The renewal of a node's parts: each second it tells the ledger what it spent of every bucket that somebody spends
 * from or waits for, and hears what it may spend. A bucket that has something urgent does not wait for the second. How
 * many requests are sent changes nothing in how many statements there are. Made by `index.ts` of this folder.
 */
import type { Logger } from 'pino';
import { isOutage } from '../../../lib/database';
import { errorOf } from '../../../lib/failures';
import { Background } from '../../../lib/service';
import { FIGURES } from '../figures';
import type { Grant, Renewal } from '../ledger/messages';
import { renew } from '../ledger/statement';
import type { Change, LedgerDesk } from './ledger-desk';
import type { SharedBucket } from './shared';

/** Keys of one statement: its rows are locked for some milliseconds. */
const SLICE = 200;
/** Urgent buckets go together with those that become urgent meanwhile. Milliseconds. */
const URGENT_MS = 50;

export interface RenewalHost {
  readonly shared: Iterable<SharedBucket>;
  beat(): void;
}

export class Renewals extends Background {
  private timer: NodeJS.Timeout | undefined;
  private urgentTimer: NodeJS.Timeout | undefined;
  private readonly urgent = new Set<SharedBucket>();
  private running: Promise<void> | undefined;
  private isFailing = false;
  private isLast = false;

  constructor(
    private readonly desk: LedgerDesk,
    private readonly host: RenewalHost,
    private readonly log: Logger,
  ) {
    super();
  }

  protected open(): Promise<void> {
    this.timer = setInterval(() => {
      this.host.beat();
      void this.renewAll();
    }, FIGURES.renewal * 1_000);
    return Promise.resolve();
  }

  /** Gives back what is in hand: others need not wait until the parts end. */
  protected async close(): Promise<void> {
    clearInterval(this.timer);
    clearTimeout(this.urgentTimer);
    // An urgent one that has waited for another begins as that one ends.
    while (this.running) await this.running;
    this.isLast = true;
    await this.once(() => [...this.host.shared].filter(({ isGranted }) => isGranted));
  }

  /** The bucket has something to say that should not wait. */
  urge(bucket: SharedBucket): void {
    this.urgent.add(bucket);
    // Nothing is urgent while nobody answers: the next second tries again.
    if (this.isStopping || this.isFailing || this.urgentTimer !== undefined) return;
    this.urgentTimer = setTimeout(() => {
      this.urgentTimer = undefined;
      void this.renewUrgent();
    }, URGENT_MS);
  }

  /** Never rejects. A renewal that is under way is waited for, and the next second brings the next. */
  renewAll(): Promise<void> {
    return this.once(() => [...this.host.shared].filter((bucket) => bucket.isOfInterest));
  }

  private async renewUrgent(): Promise<void> {
    await this.running;
    await this.once(() => [...this.urgent]);
  }

  private once(which: () => SharedBucket[]): Promise<void> {
    this.running ??= this.renew(which()).finally(() => (this.running = undefined));
    return this.running;
  }

  private async renew(buckets: readonly SharedBucket[]): Promise<void> {
    for (const bucket of buckets) this.urgent.delete(bucket);
    let failure: Error | undefined;
    let isAny = false;
    for (let from = 0; from < buckets.length; from += SLICE) {
      // Rows that somebody has locked cost the time of one wait, however many slices have some of them.
      const told = await this.renewSlice(buckets.slice(from, from + SLICE), failure === undefined);
      isAny ||= told.isAny;
      failure ??= told.failure;
      // Without the database each slice would wait in vain: the others are not told either, and try again together.
      if (isOutage(told.failure)) break;
    }
    const error = isAny ? undefined : failure;
    if (error && !this.isFailing)
      this.log.warn({ err: error }, 'the budget cannot be renewed now; what is in hand is spent, and then nothing');
    if (!error && this.isFailing) this.log.info('the budget is renewed again');
    this.isFailing = error !== undefined;
  }

  /** @returns what kept some of them from being told, and whether any was */
  private async renewSlice(
    slice: readonly SharedBucket[],
    waits: boolean,
  ): Promise<{ isAny: boolean; failure?: Error | undefined }> {
    const messages = new Map<SharedBucket, Renewal>(slice.map((bucket) => [bucket, bucket.renewal(this.isLast)]));
    const change: Change<Grant> = (bucket, of, time) => ({
      result: renew(bucket, of.limit.rule, messages.get(of)!, time),
    });
    try {
      const outcomes = await this.desk.change(slice, change, waits);
      let failure: Error | undefined;
      let isAny = false;
      for (const [bucket, outcome] of outcomes) {
        const isGranted = 'result' in outcome;
        bucket.granted(messages.get(bucket)!, isGranted ? outcome.result : undefined);
        if (isGranted) isAny = true;
        else failure = outcome.error;
      }
      return { isAny, failure };
    } catch (thrown) {
      for (const [bucket, message] of messages) bucket.granted(message, undefined);
      return { isAny: false, failure: errorOf(thrown) };
    }
  }
}
