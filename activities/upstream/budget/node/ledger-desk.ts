/**
 * The ledger as a node reaches it: the rows of some buckets are read under their locks, changed by pure code, and
 * written, in a transaction of its own with limits of its own. Called by `renewal.ts` and `closings.ts`.
 */
import type { Logger } from 'pino';
import { isOutage, type Database, type Queryable } from '../../../lib/database';
import { errorOf } from '../../../lib/failures';
import { reach } from '../../../lib/points';
import { bucketOf, rowOf, type BucketRow } from '../../store/bucket-row';
import { lockBuckets, makeBuckets, notifyClosings, readTime, writeBuckets } from '../../store/budget';
import { newBucket, type Bucket } from '../ledger/bucket';
import type { LedgerTime } from '../ledger/clock';
import { followLimit } from '../ledger/closing';
import type { SharedBucket } from './shared';

/**
 * A node that freezes while it holds rows loses them before a part has ended; nobody waits for a row longer than half
 * a second.
 */
const LIMITS = { statementTimeoutMs: 2_000, lockTimeoutMs: 500, idleTimeoutMs: 1_500 };
/** Locks were not to be had: what is free is done without the rest. */
const LOCKED = '55P03';

/** One bucket's change: pure, may throw; then only its own bucket is left as it was. */
export type Change<T> = (bucket: Bucket, of: SharedBucket, time: LedgerTime) => Changed<T>;

export interface Changed<T> {
  result: T;
  /** Why it is closed now; undefined: as before. */
  closedReason?: string | undefined;
  /** Every node has to hear of its closing. */
  isNews?: boolean;
}

export type Outcome<T> = { result: T } | { error: Error };

export class LedgerDesk {
  constructor(
    private readonly database: Database,
    private readonly log: Logger,
    /** The words of a notification, for the closing of these buckets. */
    private readonly payloadsOf: (buckets: readonly { bucket: Bucket; of: SharedBucket }[]) => string[],
    /** Seconds, monotonic. */
    private readonly now: () => number,
  ) {}

  /**
   * Changes these buckets, each once. Never rejects: a bucket that could not be changed has its error.
   * @param buckets no one twice
   * @param waits false: for no row that somebody else has locked
   */
  async change<T>(
    buckets: readonly SharedBucket[],
    change: Change<T>,
    waits = true,
  ): Promise<Map<SharedBucket, Outcome<T>>> {
    try {
      await this.makeRows(buckets.filter(({ hasRow }) => !hasRow));
      return await this.together(buckets, change, waits);
    } catch (thrown) {
      const error = errorOf(thrown);
      if (isOutage(error)) return failed(buckets, error);
      if ((error as { code?: unknown }).code === LOCKED && buckets.length > 1)
        return this.together(buckets, change, false).catch((again: unknown) => failed(buckets, errorOf(again)));
      if (buckets.length > 1) return this.eachAlone(buckets, change);
      this.log.warn({ err: error, ...shown(buckets[0]!) }, 'a bucket of the budget could not be written');
      return failed(buckets, error);
    }
  }

  /** One of them cannot be written: the others do not suffer for it. */
  private async eachAlone<T>(
    buckets: readonly SharedBucket[],
    change: Change<T>,
  ): Promise<Map<SharedBucket, Outcome<T>>> {
    const outcomes = new Map<SharedBucket, Outcome<T>>();
    for (const bucket of buckets) for (const [of, one] of await this.change([bucket], change)) outcomes.set(of, one);
    return outcomes;
  }

  private async makeRows(buckets: readonly SharedBucket[]): Promise<void> {
    if (buckets.length === 0) return;
    await this.database.transaction(async (db) => {
      const { now, timeline } = await readTime(db);
      const rows = buckets.map(({ name, limit }) =>
        rowOf(name, newBucket(limit.rule, now, timeline), limit.rule, null),
      );
      await makeBuckets(db, rows);
    }, LIMITS);
    for (const bucket of buckets) bucket.hasRow = true;
  }

  private async together<T>(
    buckets: readonly SharedBucket[],
    change: Change<T>,
    waits: boolean,
  ): Promise<Map<SharedBucket, Outcome<T>>> {
    const byId = new Map(buckets.map((bucket) => [idOf(bucket.name), bucket]));
    const outcomes = await this.database.transaction((db) => this.inTransaction(db, byId, change, waits), LIMITS);
    for (const bucket of buckets) {
      if (outcomes.has(bucket)) continue;
      // It was forgotten, or somebody has it locked.
      if (waits) bucket.hasRow = false;
      outcomes.set(bucket, { error: new Error('its row could not be read') });
    }
    return outcomes;
  }

  private async inTransaction<T>(
    db: Queryable,
    byId: ReadonlyMap<string, SharedBucket>,
    change: Change<T>,
    waits: boolean,
  ): Promise<Map<SharedBucket, Outcome<T>>> {
    const outcomes = new Map<SharedBucket, Outcome<T>>();
    const changed: BucketRow[] = [];
    const news: { bucket: Bucket; of: SharedBucket }[] = [];
    const names = [...byId.values()].map(({ name }) => name);
    const asked = this.now();
    const locked = await lockBuckets(db, names, waits);
    await reach('budget.locked');
    for (const row of locked) {
      const of = byId.get(idOf(row))!;
      try {
        const bucket = bucketOf(row);
        const { now, timeline, limitClosing } = row;
        if (followLimit(bucket, limitClosing, now)) row.closedReason = limitClosing!.reason;
        const time = { now, timeline, reckoned: of.account.reckoned(asked) };
        const { result, closedReason, isNews } = change(bucket, of, time);
        changed.push(rowOf(of.name, bucket, of.limit.rule, closedReason ?? row.closedReason));
        if (isNews) news.push({ bucket, of });
        outcomes.set(of, { result });
      } catch (thrown) {
        this.log.error({ err: errorOf(thrown), ...shown(of) }, 'the account of a bucket cannot go on');
        outcomes.set(of, { error: errorOf(thrown) });
      }
    }
    await writeBuckets(db, changed);
    await notifyClosings(db, this.payloadsOf(news));
    return outcomes;
  }
}

function failed<T>(buckets: readonly SharedBucket[], error: Error): Map<SharedBucket, Outcome<T>> {
  return new Map(buckets.map((bucket) => [bucket, { error }]));
}

const idOf = ({ upstream, limit, key }: { upstream: string; limit: string; key: string }): string =>
  `${upstream}/${limit}/${key}`;

function shown({ name }: SharedBucket): Record<string, string> {
  return { upstream: name.upstream, limit: name.limit, key: name.key };
}
