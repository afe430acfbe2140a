/**
 * The members' last runs of one operation, as far as they are known: when, with which ETag and expiry, how many
 * failures in a row. Begun by what an earlier shift has stored (`pool-shift.ts`), kept by `outcome.ts`, asked by code
 * that runs (`run.ts`). It decides what of that still counts.
 */
import type { FreshnessRow } from '../store/members';
import { boundsOf } from '../../../workflows/tracker/options';
import type { Holds } from './holds';
import type { Operation } from './host';
import { Patience } from './patience';
import type { Success } from './results';

/**
 * A node hears within this that members are to be asked anew: a run of before, told of no refetch, has ended by then
 * and its time-out. Milliseconds.
 */
const HEARD_MS = 2_000;

export class Known {
  /** Failures in a row, of members that have any. */
  readonly failuresInARow = new Map<number, number>();
  /** Members whose last value the store would not have: `unchanged` says nothing of what it has. */
  readonly unstored = new Set<number>();
  private readonly fetched: (number | undefined)[] = [];
  /** These two stay empty where the operation has none: they count, at a hundred thousand members. */
  private readonly expiries: number[] = [];
  private readonly etags: (string | undefined)[] = [];
  readonly patience: Patience;
  private warnedOfVersion = false;

  constructor(
    private readonly loop: Pick<Operation, 'tracker' | 'name' | 'definition' | 'options' | 'log'>,
    private readonly holds: Holds,
  ) {
    this.patience = new Patience(holds.health(loop.tracker, loop.name));
  }

  /**
   * Whether this worker's code is of the version that the tracker runs. If it is not (a deployment that rolls, or
   * was rolled back), ETags and expiries are neither used nor stored: values of one version are not taken for those of
   * the other, in either direction.
   */
  get isOfVersion(): boolean {
    const { definition, options } = this.loop;
    return (definition.version ?? 1) === (options.version ?? 1) && definition.codec?.name === options.codec;
  }

  /** Once a shift: it costs every 304 until one of the two is mended. */
  warnOfVersion(): void {
    if (this.isOfVersion || this.warnedOfVersion) return;
    this.warnedOfVersion = true;
    const { definition, options, log, tracker } = this.loop;
    log.warn(
      {
        code: definition.version ?? 1,
        declared: options.version ?? 1,
        ...(definition.codec?.name !== options.codec && {
          codec: definition.codec?.name,
          declaredCodec: options.codec,
        }),
      },
      "this worker's code is of another version (or codec) than the tracker runs: ETags and expiries are not used here " +
        `until both are the same (longwatch start ${tracker} --update)`,
    );
  }

  /** Takes in what is stored of a member that joins. @returns when it ran, and until when it is left alone */
  recall(
    slot: number,
    id: string,
    stored: FreshnessRow | undefined,
  ): { ranAt: number | undefined; notBefore: number; exactly?: boolean } {
    if (!stored) return { ranAt: undefined, notBefore: 0 };
    const row = this.currentOf(stored, id);
    if (row.fetchedAt != null) this.fetched[slot] = row.fetchedAt;
    if (row.expiresAt != null) this.expiries[slot] = this.notBefore({ ...row, heldUntil: null });
    if (row.etag != null && row.fetchedAt !== null) this.etags[slot] = row.etag;
    if (row.failures) this.failuresInARow.set(slot, row.failures);
    if (row.failedAt != null && row.heldUntil !== null && row.byHold !== true && !this.wasLifted(row.failedAt)) {
      this.patience.recall(slot, row.heldUntil - row.failedAt);
    }
    return { ranAt: ranAt(row), notBefore: this.notBefore(row), exactly: this.isTimed(row) };
  }

  fetchedAt(slot: number): number | undefined {
    return this.fetched[slot];
  }

  /** Epoch milliseconds; 0: it has none. */
  expiresAt(slot: number): number {
    return this.expiries[slot] ?? 0;
  }

  etag(slot: number): string | undefined {
    return this.etags[slot];
  }

  /** Notes a success; an ETag and an expiry of before do not count any more. */
  learn(slot: number, { fetchedAt, expiresAt, etag }: Pick<Success, 'fetchedAt' | 'expiresAt' | 'etag'>): void {
    this.failuresInARow.delete(slot);
    this.patience.succeeded(slot);
    this.fetched[slot] = fetchedAt;
    if (expiresAt !== null || this.expiries.length > 0) this.expiries[slot] = expiresAt ?? 0;
    if (etag !== null || this.etags.length > 0) this.etags[slot] = etag ?? undefined;
  }

  /** The store will not have the last value: the next run asks for the whole of it. */
  mistrust(slot: number): void {
    if (slot < this.etags.length) this.etags[slot] = undefined;
    this.unstored.add(slot);
  }

  /** The slot may be given to another member. */
  forget(slot: number): void {
    this.failuresInARow.delete(slot);
    this.patience.forget(slot);
    this.unstored.delete(slot);
    if (slot < this.fetched.length) this.fetched[slot] = undefined;
    this.forgetCached([slot]);
  }

  /** ETags and expiries of these members (of all) do not count any more. */
  forgetCached(slots: readonly number[] | undefined): void {
    if (slots === undefined) {
      this.etags.length = 0;
      this.expiries.length = 0;
    }
    for (const slot of slots ?? []) {
      if (slot < this.etags.length) this.etags[slot] = undefined;
      if (slot < this.expiries.length) this.expiries[slot] = 0;
    }
  }

  /** Without its ETag and expiry, where it is to be asked anew. */
  private currentOf(row: FreshnessRow, id: string): FreshnessRow {
    if (row.fetchedAt === null || this.isCurrent(id, row.fetchedAt)) return row;
    return { ...row, etag: null, expiresAt: null };
  }

  /**
   * Whether a stored ETag and expiry still count. A run that was under way when they were to be asked anew, or that
   * began before its node had heard of it, may have stored them again; so what was fetched right after that is asked
   * once more.
   */
  private isCurrent(id: string, fetchedAt: number): boolean {
    const { tracker, name, options } = this.loop;
    const askedAt = this.holds.askedAt(tracker, name, id);
    return this.isOfVersion && (askedAt === 0 || fetchedAt > askedAt + options.timeoutMs + HEARD_MS);
  }

  /** Whether its last run has failed, and the definition's `retryDelay` said when the next one is. */
  private isTimed({ fetchedAt, failedAt, heldUntil, byHold, expiresAt }: FreshnessRow): boolean {
    const { definition, options } = this.loop;
    if (definition.retryDelay === undefined || boundsOf(options).maxBackoffMs === 0) return false;
    if (heldUntil === null || failedAt === null || byHold === true || this.wasLifted(failedAt)) return false;
    return failedAt >= (fetchedAt ?? 0) && heldUntil >= (expiresAt ?? 0);
  }

  /** A hold that was told then does not count any more: it was lifted by hand. */
  private wasLifted(toldAt: number): boolean {
    return toldAt <= this.holds.liftedAt(this.loop.tracker, this.loop.name);
  }

  /**
   * Until when a member is left alone by what it was told in an earlier shift, within today's bounds: they count from
   * when it was told.
   */
  private notBefore({ fetchedAt, expiresAt, failedAt, heldUntil }: FreshnessRow): number {
    const { maxExpiryMs, maxHoldMs, maxBackoffMs } = boundsOf(this.loop.options);
    const lifted = this.wasLifted(failedAt ?? 0);
    return Math.max(
      Math.min(expiresAt ?? 0, (fetchedAt ?? 0) + maxExpiryMs),
      lifted ? 0 : Math.min(heldUntil ?? 0, (failedAt ?? 0) + Math.max(maxHoldMs, maxBackoffMs)),
    );
  }
}

/** The last run, successful or not; undefined: none yet. */
export function ranAt(stored: FreshnessRow | undefined): number | undefined {
  const at = Math.max(stored?.fetchedAt ?? 0, stored?.failedAt ?? 0);
  return at > 0 ? at : undefined;
}
