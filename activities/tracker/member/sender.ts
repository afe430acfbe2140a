/**
 * A process that sends: it numbers its messages, and writes them in batches, one after another. A batch whose answer
 * is lost is told again, as it was, until its outcome is known; the pool sorts out what it has had before
 * (`marks.ts`). Used by the client for `send` and `request`; pure, as all of this folder.
 */
export interface Outgoing<T> {
  readonly number: number;
  /** The number of the one before it to the same member; undefined: there was none, or it is not known any more. */
  readonly previous: number | undefined;
  readonly member: string;
  readonly bytes: number;
  readonly toldAt: number;
  readonly message: T;
}

interface Waiting<T> {
  readonly number: number;
  readonly member: string;
  readonly bytes: number;
  readonly toldAt: number;
  readonly message: T;
  /** It was told to wait since its pool is full: this one. */
  readonly pool?: number | undefined;
}

export type Outcome = 'taken' | 'wait' | 'refused';

export interface SenderLimits {
  readonly batchEntries: number;
  readonly batchBytes: number;
  /** Members whose last number is remembered; of the others a gap is not seen, which costs nothing but the order. */
  readonly members: number;
}

export const SENDER: SenderLimits = { batchEntries: 500, batchBytes: 1024 * 1024, members: 50_000 };

export class Sender<T> {
  private last = 0;
  /** By number, in their order. */
  private waiting = new Map<number, Waiting<T>>();
  private batch: (Outgoing<T> & Waiting<T>)[] | undefined;
  /** Members that have no room, until then. */
  private readonly full = new Map<string, number>();
  /** The same for pools: one of all that wait for a pool asks for them, or thousands would be told again and again. */
  private readonly fullPools = new Map<number, number>();
  /** By member: the number that was stored last. In the order of their use. */
  private readonly stored = new Map<string, number>();

  /** @param id unique to this process and its start */
  constructor(
    readonly id: string,
    private readonly limits: SenderLimits = SENDER,
  ) {}

  get isIdle(): boolean {
    return this.waiting.size === 0 && this.batch === undefined;
  }

  /** @param toldAt by the database's clock. @returns its number */
  add(member: string, message: T, bytes: number, toldAt: number): number {
    const number = ++this.last;
    this.waiting.set(number, { number, member, bytes, toldAt, message });
    return number;
  }

  /** Takes a message back that has not been written. @returns false: it may have been */
  takeBack(number: number): boolean {
    if (this.batch?.some((one) => one.number === number)) return false;
    return this.waiting.delete(number);
  }

  /** The batch to write now; undefined: nothing may be, or the last one is not known yet. */
  next(now: number): readonly Outgoing<T>[] | undefined {
    if (this.batch) return undefined;
    const batch: (Outgoing<T> & Waiting<T>)[] = [];
    const previous = new Map<string, number>();
    for (const [member, until] of this.full) if (until <= now) this.full.delete(member);
    // All that follow one of them to the same member stay behind it.
    const behind = new Set(this.full.keys());
    const asked = new Set<number>();
    let bytes = 0;
    for (const one of this.waiting.values()) {
      const { member, pool } = one;
      const room =
        batch.length < this.limits.batchEntries && (batch.length === 0 || bytes + one.bytes <= this.limits.batchBytes);
      if (!room || behind.has(member) || this.waitsForPool(one, asked, now)) {
        behind.add(member);
        continue;
      }
      if (pool !== undefined) asked.add(pool);
      batch.push({ ...one, previous: previous.get(member) ?? this.stored.get(member) });
      previous.set(member, one.number);
      bytes += one.bytes;
    }
    if (batch.length === 0) return undefined;
    for (const { number } of batch) this.waiting.delete(number);
    return (this.batch = batch);
  }

  /**
   * Its outcome, a message each. One that must wait is told again later, with the same number.
   * @param pools by the place in the batch: the pool that is full, where that is why it must wait
   */
  answered(
    outcomes: readonly Outcome[],
    now: number,
    waitMs: number,
    pools: ReadonlyMap<number, number> = new Map(),
  ): void {
    const { batch = [] } = this;
    this.batch = undefined;
    const again: [number, Waiting<T>][] = [];
    for (const [at, one] of batch.entries()) {
      const outcome = outcomes[at];
      const pool = outcome === 'wait' ? pools.get(at) : undefined;
      // It had room as far as its pool goes: so have all that wait for that.
      if (one.pool !== undefined && one.pool !== pool && outcome !== 'refused') this.fullPools.delete(one.pool);
      if (outcome === 'taken') this.remember(one.member, one.number);
      if (outcome !== 'wait') continue;
      again.push([one.number, { ...one, pool }]);
      if (pool === undefined) this.full.set(one.member, now + waitMs);
      else this.fullPools.set(pool, now + waitMs);
    }
    if (again.length > 0) this.waiting = new Map([...again, ...this.waiting].sort(([a], [b]) => a - b));
  }

  /** Nobody knows what became of it: the same batch is written again. */
  unknown(): readonly Outgoing<T>[] {
    return this.batch ?? [];
  }

  /**
   * Nobody will know, and nobody waits for it any more. The next batch has greater numbers: if this one comes after it
   * all the same, it counts as told twice.
   */
  abandon(): void {
    this.batch = undefined;
  }

  /** @param asked pools for which one is in the batch */
  private waitsForPool({ pool }: Waiting<T>, asked: ReadonlySet<number>, now: number): boolean {
    const until = pool === undefined ? undefined : this.fullPools.get(pool);
    return until !== undefined && (until > now || asked.has(pool!));
  }

  private remember(member: string, number: number): void {
    this.stored.delete(member);
    this.stored.set(member, number);
    for (const oldest of this.stored.keys()) {
      if (this.stored.size <= this.limits.members) break;
      this.stored.delete(oldest);
    }
  }
}
