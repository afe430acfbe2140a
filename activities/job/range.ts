/**
 * How a tick goes through a table: the parts of the key space, each in chunks, several streams at once; what a chunk
 * that fails, is in somebody's way or is refused means for the next one. It decides only: rows and transactions are
 * those of `rows.ts`, so that `test/job/world.ts` can live through thousands of histories with this very code. Used by
 * `regen.ts`.
 *
 * - A row that fails is found by halving its chunk, reported and left out of the tick.
 * - A row that somebody holds locked is put off: it becomes a part of its own, in the transaction of the chunk that
 *   leaves it out, and its turn comes when all others are done. Until then its tick is open.
 * - What the database does not know of (a crash has taken it back) is read anew.
 */
import type { Logger } from 'pino';
import { classOf } from '../lib/sqlstate';
import type { TickRange } from './store/ticks';
import type { Sizing } from './sizing';
import type { Bound } from './statement';

/** What the rows of a table can be asked, each in a transaction of its own. */
export interface Rows {
  /** The parts of the open tick. */
  ranges(): Promise<TickRange[]>;
  /** Whether the job is still this pass's. */
  isHeld(): Promise<boolean>;
  /** The key of the table's last row. */
  lastKey(): Promise<Bound>;
  /** Advances the rows of a chunk, and the progress with them. Never throws what PostgreSQL says of the rows. */
  chunk(range: TickRange, ask: Ask): Promise<Outcome>;
  /** Keys of rows of a chunk that others hold locked; at most `limit`. */
  locked(range: TickRange, to: Bound, limit: number): Promise<string[][]>;
  /** Whether all rows must be advanced at once: the statement has no range, or reads the table that it changes. */
  mustBeWhole(): Promise<boolean>;
}

export interface Ask {
  /** Rows of it. Undefined: all of the part in one statement. */
  size: number | undefined;
  /**
   * The rows are counted by their keys alone, whatever the condition says of them: it may be what fails, or what finds
   * few.
   */
  byKey?: boolean;
  /**
   * The condition is asked of rows of the chunk only: PostgreSQL may ask it of others first, and one of those may be
   * the row that it fails on.
   */
  careful?: boolean;
  /**
   * Rows of the chunk that are left for later: each becomes a part, numbered from `part` on. The chunk ends at `to`,
   * where it did when they were found: an end that is looked for anew may lie before one of them, and it would come
   * twice.
   */
  putOff?: { keys: string[][]; part: number; to: Bound };
  /** The chunk is this row, which fails: it is reported and passed over. */
  leaveOut?: { key: string[]; error: Error };
}

export type Outcome =
  | { kind: 'done'; to: Bound; done: boolean; whole: boolean; rows: number; ms: number; tripMs: number }
  /** The database knows of other progress. */
  | { kind: 'other progress' }
  /**
   * Nothing was written. `to`: where the chunk would have ended, as far as that was known; `looking`: it was looked for
   * just then.
   */
  | { kind: 'failed'; error: Error; to: Bound; looking: boolean };

/** What ends a pass, and its sleep. */
export interface Ends {
  readonly reason: string | undefined;
  end(reason: 'handed back'): void;
  sleep(ms: number): Promise<void>;
}

export interface Walk {
  rows: Rows;
  sizing: Sizing;
  ending: Ends;
  /** One statement for all, where nothing is in its way. */
  all: boolean;
  /** A chunk is so many rows that match, which may lie far apart. */
  sparse: boolean;
  log: Pick<Logger, 'debug' | 'warn'>;
  /** Told of each chunk; and of what is waited for, once it takes long. */
  chunk(rows: number, ms: number): void;
  waits(why: string): Promise<void>;
}

/**
 * More rows than this are not the fault of single rows: the pass ends with the error. It goes on behind them when it is
 * tried again.
 */
const FAILED_MAX = 1_000;
/** So many rows of one chunk, and of one tick, are put off; more are waited for where they are. */
const PUT_OFF_AT_ONCE = 100;
const PUT_OFF_MAX = 1_000;
/** After so many conflicts without a row that could be put off, a chunk is halved. */
const PATIENCE = 2;
const REST_MAX_MS = 1_000;
/** Where rows that match lie far apart, a chunk of keys is so large to begin with, and never larger than this. */
const KEYS_FIRST = 1_024;
const KEYS_MAX = 100_000;
/**
 * A chunk of few rows that takes longer than this looks through many that do not match, and holds what it has found
 * meanwhile.
 */
const FAR_APART_MS = 100;
const FEW_ROWS = 200;
/** Rows that are put off are told of when they were tried so often in vain. */
const TELL_AFTER = 8;

/** @returns whether nothing of the tick is left */
export async function walk(of: Walk, streams: number): Promise<boolean> {
  const all = await of.rows.ranges();
  const tick = new TickWalk(of, all);
  await allOrFirstError(
    Array.from({ length: streams }, () => tick.stream()),
    of.ending,
  );
  return all.every((range) => range.done);
}

/** When one stream fails the others end with their chunk, and only then it is told. */
export async function allOrFirstError(streams: Promise<void>[], ending: Pick<Ends, 'end'>): Promise<void> {
  const failures: unknown[] = [];
  await Promise.all(
    streams.map((stream) =>
      stream.catch((error: unknown) => {
        failures.push(error);
        ending.end('handed back');
      }),
    ),
  );
  if (failures.length > 0) throw failures[0];
}

/** What the streams of a pass share. */
class TickWalk {
  /** Parts that nobody works on: whole ones, and rows that were put off. */
  private readonly ranges: TickRange[];
  private readonly single: TickRange[];
  private nextPart: number;
  private putOff: number;
  private failedRows = 0;
  private busy = 0;
  private inVain = 0;

  constructor(
    readonly of: Walk,
    private readonly all: TickRange[],
  ) {
    const left = all.filter((range) => !range.done);
    this.ranges = left.filter((range) => !range.alone);
    this.single = left.filter((range) => range.alone);
    this.nextPart = Math.max(-1, ...all.map((range) => range.part)) + 1;
    this.putOff = all.filter((range) => range.alone).length;
  }

  async stream(): Promise<void> {
    const { ending } = this.of;
    while (!ending.reason) {
      const range = this.ranges.shift();
      if (range) await this.work(() => new RangeWalk(this, range).run());
      // What others still find to be locked comes to the end of the line.
      else if (this.busy > 0 && this.single.length === 0) await ending.sleep(5);
      else if (!(await this.workOnSingle())) return;
    }
  }

  /** @returns false when there is none left, and none can come */
  private async workOnSingle(): Promise<boolean> {
    const range = this.single.shift();
    if (!range) return this.busy > 0;
    await this.work(() => new RangeWalk(this, range).run());
    if (range.done) {
      this.inVain = 0;
      return true;
    }
    this.single.push(range);
    this.inVain++;
    if (this.inVain === TELL_AFTER) {
      const keys = this.single.slice(0, 3).map(({ upto }) => upto!.join(', '));
      const more = this.single.length > 3 ? ` and ${this.single.length - 3} more` : '';
      await this.of.waits(`somebody holds rows locked, and the tick waits for them: ${keys.join('; ')}${more}`);
    }
    await this.of.ending.sleep(Math.min(REST_MAX_MS, 10 * this.inVain));
    return true;
  }

  private async work(act: () => Promise<void>): Promise<void> {
    this.busy++;
    try {
      await act();
    } finally {
      this.busy--;
    }
  }

  /** Numbers for parts of so many rows; undefined when too many are put off already. */
  numberOf(rows: number): number | undefined {
    if (this.putOff + rows > PUT_OFF_MAX) return undefined;
    this.putOff += rows;
    this.nextPart += rows;
    return this.nextPart - rows;
  }

  /** Committed: they come when the others are done. */
  later({ keys, part }: NonNullable<Ask['putOff']>): void {
    keys.forEach((key, index) => {
      const range: TickRange = { part: part + index, after: null, upto: key, done: false, alone: true };
      this.all.push(range);
      this.single.push(range);
    });
    this.of.log.debug({ rows: keys.length }, 'rows that others hold locked are put off');
  }

  fails(error: Error): void {
    if (++this.failedRows > FAILED_MAX) throw error;
  }

  /** A part is not in the database: a crash has taken it back, with what it was cut out of. */
  lost(): Error {
    return Object.assign(new Error('PostgreSQL has lost the newest commits in a crash; the tick goes on'), {
      type: 'StoreUnavailable',
    });
  }
}

/** One part, chunk by chunk. */
class RangeWalk {
  /** While something is looked for, or in the way: the size that is tried. */
  private narrowed: number | undefined;
  /** Its chunks are so many keys: the condition fails on a row, or finds few. */
  private byKey = false;
  private conflicts = 0;
  private cutUp = false;
  private next: Pick<Ask, 'putOff' | 'leaveOut'> = {};

  constructor(
    private readonly tick: TickWalk,
    private readonly range: TickRange,
  ) {}

  private get of(): Walk {
    return this.tick.of;
  }

  async run(): Promise<void> {
    while (!this.range.done && !this.of.ending.reason) {
      const rest = await this.chunk();
      if (rest > 0) await this.of.ending.sleep(rest);
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

  /** What is asked because of a failure may find somebody in the way as well, such as one who has locked the table. */
  private async failedOrWait(outcome: Extract<Outcome, { kind: 'failed' }>, size: number, ask: Ask): Promise<number> {
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
    { error, to, looking }: Extract<Outcome, { kind: 'failed' }>,
    size: number,
    ask: Ask,
  ): Promise<number> {
    switch (failsOnRow(error) ? 'row' : classOf(error)) {
      case 'conflict':
        return this.inTheWay(error, size, to, ask);
      case 'cancelled':
        // By a worker that must end; or it took longer than it may, as a smaller one may not.
        if (this.of.ending.reason) return 0;
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
    const now = ranges.find((range) => range.part === this.range.part);
    if (!(await this.of.rows.isHeld())) throw new Superseded();
    if (!now) throw this.tick.lost();
    Object.assign(this.range, now);
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

/** A newer holder has the job. */
export class Superseded extends Error {}

/** PostgreSQL refuses a row, and would take others. */
export const failsOnRow = (error: unknown): boolean => isOfRow(error) || classOf(error) === 'row';

/**
 * Extensions say XX000 of a value that they cannot take (a geometry), and the server XX001 of a row whose page is
 * damaged. And what a trigger has raised as a cancellation nobody has cancelled.
 */
const isOfRow = (error: unknown): boolean => {
  const { code, routine } = error as { code?: unknown; routine?: unknown };
  return code === 'XX000' || code === 'XX001' || (code === '57014' && routine === 'exec_stmt_raise');
};

const isLock = (error: Error): boolean => (error as { code?: unknown }).code === '55P03';
