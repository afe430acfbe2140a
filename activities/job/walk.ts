/**
 * How a tick goes through a table: the parts of the key space (`range.ts` goes through one), several streams at once,
 * and rows that somebody holds locked when all others are done. It decides only: rows and transactions are those of
 * `store/rows.ts`, so that `test/job/world.ts` can live through thousands of histories with this very code. Called by
 * `regen.ts`.
 */
import { REST_MAX_MS, TELL_AFTER, type Ask, type Ends, type Walk } from './chunk';
import { RangeWalk, type RangeHost } from './range';
import type { TickRange } from './store/ticks';

/**
 * More rows than this are not the fault of single rows: the pass ends with the error. It goes on behind them when it is
 * tried again.
 */
const FAILED_MAX = 1_000;
/** No more rows of one tick are put off; more are waited for where they are. */
const PUT_OFF_MAX = 1_000;

/** @returns whether nothing of the tick is left */
export async function walk(of: Walk, streams: number): Promise<boolean> {
  const all = await of.rows.ranges();
  const tick = new TickWalk(of, all);
  await allOrFirstError(
    Array.from({ length: streams }, () => tick.stream()),
    of.stopSignal,
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

/** The parts, and the counts, that the streams of a pass share. */
class TickWalk implements RangeHost {
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
    const { stopSignal } = this.of;
    while (!stopSignal.reason) {
      const range = this.ranges.shift();
      if (range) await this.whileBusy(() => new RangeWalk(this, range).run());
      // What others still find to be locked comes to the end of the line.
      else if (this.busy > 0 && this.single.length === 0) await stopSignal.sleep(5);
      else if (!(await this.takeSingle())) return;
    }
  }

  /** @returns false when there is none left, and none can come */
  private async takeSingle(): Promise<boolean> {
    const range = this.single.shift();
    if (!range) return this.busy > 0;
    await this.whileBusy(() => new RangeWalk(this, range).run());
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
    await this.of.stopSignal.sleep(Math.min(REST_MAX_MS, 10 * this.inVain));
    return true;
  }

  private async whileBusy(act: () => Promise<void>): Promise<void> {
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
