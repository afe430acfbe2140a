/**
 * One part of a tick's key space, chunk by chunk; what a chunk that fails, is in somebody's way or is refused means for
 * the next one. Used by `walk.ts`, which knows of the other parts.
 *
 * - A row that fails is found by halving its chunk, reported and left out of the tick.
 * - A row that somebody holds locked is put off: it becomes a part of its own, in the transaction of the chunk that
 *   leaves it out, and its turn comes when all others are done. Until then its tick is open.
 * - Progress that the database does not know of (a crash has taken it back) is read anew.
 */
import { classOf } from '../lib/sqlstate';
import {
  failsOnRow,
  isLock,
  REST_MAX_MS,
  Superseded,
  TELL_AFTER,
  type Ask,
  type ChunkOutcome,
  type Walk,
} from './chunk';
import type { TickRange } from './store/ticks';
import type { Bound } from './statement';

/** So many rows of one chunk are put off at once; more are waited for where they are. */
const PUT_OFF_AT_ONCE = 100;
/** After so many conflicts without a row that could be put off, a chunk is halved. */
const PATIENCE = 2;
/** A chunk of keys is so large to begin with, and never larger, where rows that match lie far apart. */
const KEYS_FIRST = 1_024;
const KEYS_MAX = 100_000;
/**
 * A chunk of few rows that takes longer than this looks through many that do not match, and holds what it has found
 * meanwhile.
 */
const FAR_APART_MS = 100;
const FEW_ROWS = 200;

/** The things that a part needs of the tick that it belongs to. */
export interface RangeHost {
  readonly of: Walk;
  /** Numbers for parts of so many rows; undefined when too many are put off already. */
  numberOf(rows: number): number | undefined;
  /** Committed: they come when the others are done. */
  later(putOff: NonNullable<Ask['putOff']>): void;
  /** @throws the error, when too many rows have failed */
  fails(error: Error): void;
  /** A part is not in the database: a crash has taken it back, with what it was cut out of. */
  lost(): Error;
}

/** One part, chunk by chunk. */
export class RangeWalk {
  /** While something is looked for, or in the way: the size that is tried. */
  private narrowed: number | undefined;
  /** Its chunks are so many keys: the condition fails on a row, or finds few. */
  private byKey = false;
  private conflicts = 0;
  private cutUp = false;
  private next: Pick<Ask, 'putOff' | 'leaveOut'> = {};

  constructor(
    private readonly tick: RangeHost,
    private readonly range: TickRange,
  ) {}

  private get of(): Walk {
    return this.tick.of;
  }

  async run(): Promise<void> {
    while (!this.range.done && !this.of.stopSignal.reason) {
      const rest = await this.chunk();
      if (rest > 0) await this.of.stopSignal.sleep(rest);
      // The row is still locked: others may be free by now.
      if (this.range.alone && this.conflicts > 0) return;
    }
  }

  /** One statement without a range. */
  private get isWhole(): boolean {
    return this.of.all && !this.cutUp && this.range.upto === null;
  }

  /** @returns how long to rest after it. Milliseconds. */
  private async chunk(): Promise<number> {
    const { range } = this;
    const size = range.alone ? 1 : (this.narrowed ?? this.of.sizing.size);
    const careful = this.narrowed !== undefined || range.alone === true;
    const ask: Ask = { size: this.isWhole ? undefined : size, byKey: this.byKey, careful, ...this.next };
    this.next = {};
    const outcome = await this.of.rows.chunk(range, ask);
    if (outcome.kind === 'other progress') return this.reload();
    if (outcome.kind === 'failed') return this.failedOrWait(outcome, size, ask);
    range.after = outcome.to ?? range.after;
    range.done = outcome.done;
    if (ask.putOff) this.tick.later(ask.putOff);
    this.conflicts = 0;
    // The next one may fail as well.
    if (ask.leaveOut) return 0;
    this.of.chunk(outcome.rows, outcome.ms);
    if (this.byKey) return this.nextKeys(outcome, size);
    if (this.of.sparse && outcome.whole && outcome.ms > FAR_APART_MS && size <= FEW_ROWS) {
      this.byKey = true;
      this.narrowed = KEYS_FIRST;
      return 0;
    }
    if (this.narrowed === undefined) {
      // The rest of a part, and a row alone, say nothing of a whole chunk.
      const over = outcome.whole && !range.alone && !ask.putOff ? size : 0;
      return range.alone ? 0 : this.of.sizing.took(over, outcome.rows, outcome.ms, outcome.tripMs);
    }
    this.narrowed = this.narrowed * 2 >= this.of.sizing.size ? undefined : this.narrowed * 2;
    return 0;
  }

  /** Chunks of keys: as many as it takes to find what a chunk of rows would, in about the time that it would take. */
  private nextKeys({ rows, ms }: { rows: number; ms: number }, size: number): number {
    const { sizing } = this.of;
    const much = Math.max(rows / sizing.size, ms / FAR_APART_MS);
    this.narrowed = much > 1 ? Math.ceil(size / 2) : much > 0.5 ? size : Math.min(KEYS_MAX, size * 2);
    return sizing.took(0, rows, ms, 0);
  }

  /** A question that follows a failure may find somebody in the way as well, such as one who has locked the table. */
  private async failedOrWait(
    outcome: Extract<ChunkOutcome, { kind: 'failed' }>,
    size: number,
    ask: Ask,
  ): Promise<number> {
    try {
      return await this.failed(outcome, size, ask);
    } catch (error) {
      if (error === outcome.error || classOf(error) !== 'conflict') throw error;
      if (++this.conflicts % TELL_AFTER === 0)
        await this.of.waits(`a chunk waits for a lock: ${(error as Error).message}`);
      return Math.min(REST_MAX_MS, Math.random() * 20 * this.conflicts);
    }
  }

  private async failed(
    { error, to, looking }: Extract<ChunkOutcome, { kind: 'failed' }>,
    size: number,
    ask: Ask,
  ): Promise<number> {
    switch (failsOnRow(error) ? 'row' : classOf(error)) {
      case 'conflict':
        return this.inTheWay(error, size, to, ask);
      case 'cancelled':
        // By a worker that must end; or it took longer than it may, as a smaller one may not.
        if (this.of.stopSignal.reason) return 0;
        if (this.isWhole || size === 1) throw error;
        this.narrowed = Math.ceil(size / 2);
        return 0;
      case 'row':
        if (ask.leaveOut) throw error;
        if (this.isWhole) await this.cut(error);
        else if (!ask.byKey && this.of.sparse && (looking || (size === 1 && to === undefined))) {
          // It is the condition that fails, on a row that may lie far behind: the end of a chunk is found by the keys
          // alone.
          this.byKey = true;
          this.narrowed = KEYS_FIRST;
        } else if (size > 1 || !ask.careful) this.narrowed = Math.ceil(size / 2);
        else this.leaveOut(to, error);
        return 0;
      default:
        throw error;
    }
  }

  /** Somebody else works on a row of the chunk, which has let go of all of its rows for them. */
  private async inTheWay(error: Error, size: number, to: Bound, ask: Ask): Promise<number> {
    this.conflicts++;
    const rest = Math.min(REST_MAX_MS, Math.random() * 20 * this.conflicts);
    this.of.log.debug({ err: error, rows: size }, 'a chunk was in the way of another transaction; it is done again');
    if (this.range.alone) return 0;
    if (this.isWhole) {
      // All at once or not at all: tried until nobody is in its way.
      const together = await this.of.rows.mustBeWhole();
      if (this.conflicts > PATIENCE && !together) await this.cut(error);
      if (this.conflicts === TELL_AFTER) await this.of.waits(`the statement waits for a lock: ${error.message}`);
      return together ? rest * 5 : rest;
    }
    if (isLock(error) && !ask.putOff) {
      const keys = await this.of.rows.locked(this.range, to, PUT_OFF_AT_ONCE + 1);
      if (keys.length > 0 && keys.length <= PUT_OFF_AT_ONCE && this.putOff(keys, to)) return 0;
    }
    if (size > 1 && this.conflicts > PATIENCE) this.narrowed = Math.ceil(size / 2);
    else if (size === 1 && to !== undefined && this.conflicts > PATIENCE) this.putOff([to], to);
    if (this.conflicts === 10 * TELL_AFTER) await this.of.waits(`a chunk waits for a lock: ${error.message}`);
    return rest;
  }

  private putOff(keys: string[][], to: Bound): boolean {
    const part = this.tick.numberOf(keys.length);
    if (part !== undefined) this.next = { putOff: { keys, part, to } };
    return part !== undefined;
  }

  private leaveOut(to: Bound, error: Error): void {
    const key = this.range.alone ? this.range.upto! : to;
    // The row that failed is gone by now.
    if (key === undefined) return;
    this.tick.fails(error);
    this.byKey = false;
    this.narrowed = 1;
    this.next = { leaveOut: { key, error } };
    this.of.log.warn({ key: key.join(', '), err: error }, 'a row fails; it is left out of this tick');
  }

  private async reload(): Promise<number> {
    const ranges = await this.of.rows.ranges();
    const written = ranges.find((range) => range.part === this.range.part);
    if (!(await this.of.rows.isHeld())) throw new Superseded();
    if (!written) throw this.tick.lost();
    Object.assign(this.range, written);
    return 0;
  }

  /**
   * A single statement over the whole table fails on some row, or waits for one: it is cut into chunks, where it can
   * be.
   */
  private async cut(error: Error): Promise<void> {
    if (await this.of.rows.mustBeWhole()) throw error;
    this.range.upto ??= (await this.of.rows.lastKey()) ?? null;
    if (this.range.upto === null) throw error;
    this.cutUp = true;
    this.narrowed = 1_024;
  }
}
