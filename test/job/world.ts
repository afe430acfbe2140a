/**
 * A simulated world of passes over a table: rows, what PostgreSQL keeps of a tick (parts with tokens, failed rows),
 * streams that overlap, and all that can happen meanwhile: rows that come, go, fail and are held; workers that die,
 * freeze and go on; answers that are lost, crashes that take the newest commits back, a schedule that changes. The
 * real code (`walk.ts`, `range.ts`, `sizing.ts`) goes through the table, and the real plan (`plan.ts`) asks for ticks;
 * the transactions of `rows.ts` are the world's. Every choice comes from the seed.
 *
 * After each tick: each row that was there from its beginning to its end has the tick's intervals exactly once more, or
 * is reported as failed; a row that came meanwhile has them at most once, and above the last key of the beginning not
 * at all.
 */
import { leftOf, countsTooMuch, dueTimes, nextTick, type Known } from '../../workflows/job/plan';
import type { EarlierSchedule } from '../../workflows/job/contract';
import type { TickRange } from '../../activities/job/store/ticks';
import { Superseded } from '../../activities/job/chunk';
import { walk } from '../../activities/job/walk';
import { Sizing } from '../../activities/job/sizing';
import type { Bound } from '../../activities/job/statement';
import { Died, Outage, Pass, WorldTable } from './world-table';

export class World extends WorldTable {
  private now = 0;
  /** The sum of the intervals of all ended ticks. */
  private counted = 0;
  private owed = 0;
  private before: EarlierSchedule[] = [];
  private readonly zombies: Promise<unknown>[] = [];
  private mistake: unknown;

  /** One life: ticks until some have ended, whatever happens. */
  async live(ticks: number): Promise<void> {
    for (let ended = 0; ended < ticks;) {
      this.now += this.choose.between(10, 6_000);
      if (this.choose.between(0, 3) === 0) this.changeSchedule();
      // The workflow may have forgotten what has ended since: it was reset.
      const settled = this.choose.between(0, 5) === 0 ? Math.max(0, this.db.endedDue - 3_000) : this.db.endedDue;
      const next = nextTick(this.options, this.known, settled, this.now);
      if (next.do !== 'tick') continue;
      await this.tick(next.tick);
      ended++;
    }
    await Promise.all(this.zombies);
    if (this.mistake !== undefined) throw this.mistake as Error;
  }

  private get known(): Known {
    return { calendar: [], before: this.before };
  }

  private changeSchedule(): void {
    const { schedule } = this.options;
    this.before = [...this.before, { schedule, until: this.now }];
    this.options = this.newOptions();
  }

  /** Intervals that fell due after the newest tick that has ended, by whichever schedule held. */
  private dueSince(from: number, upto: number): number {
    let count = 0;
    for (const one of [...this.before, { schedule: this.options.schedule, until: Infinity }]) {
      if (one.until <= from) continue;
      const to = Math.min(one.until, upto);
      if (to > from) count += dueTimes(one.schedule, { calendar: [] }, from, to).count;
      from = Math.max(from, to);
    }
    return count;
  }

  private async tick(asked: { due: number; elapsed: number; skipped: number; since?: number }): Promise<void> {
    const { endedDue } = this.db;
    if (asked.due <= endedDue) return;
    const left = countsTooMuch(asked, endedDue) ? leftOf(asked, this.dueSince(endedDue, asked.due)) : asked;
    const owed = this.dueSince(endedDue, asked.due);
    if (left.elapsed !== owed) throw new Error(`the tick stands for ${left.elapsed} intervals, and ${owed} fell due`);
    this.owed += owed;
    const beginning = new Map([...this.db.rows].map(([key, row]) => [key, { sum: row.sum, born: row.born }]));
    const last = this.lastKey();
    const ranges = this.cut(last);
    // Opening a tick waits for the disk, as ending it does.
    this.db.tick = { due: left.due, elapsed: left.elapsed, ended: false };
    this.db.ranges = ranges.map((range) => ({ ...range, token: this.db.token }));
    this.db.failed = new Set();
    const opened = this.turn;
    this.sync();
    for (let attempts = 0; !this.db.tick.ended; attempts++) {
      if (attempts > 400) throw new Error('the tick does not end');
      if (attempts > 60) this.chances = { crash: 0, lost: 0, conflict: 0, die: 0, churn: 0 };
      await this.onePass(left.elapsed);
    }
    this.counted += left.elapsed;
    this.db.endedDue = left.due;
    this.sync();
    this.check(beginning, { elapsed: left.elapsed, last, opened });
  }

  private cut(last: Bound): TickRange[] {
    if (this.all) return [{ part: 0, after: null, upto: null, done: false }];
    if (last === undefined) return [];
    const keys = [...this.db.rows.keys()].sort((a, b) => a - b).map((key) => [String(key)]);
    const cuts = keys.filter((key) => key[0] !== last[0] && this.choose.between(0, 12) === 0);
    const ends = [...cuts, last];
    return ends.map((upto, part) => ({ part, after: part === 0 ? null : ends[part - 1]!, upto, done: false }));
  }

  private async onePass(elapsed: number): Promise<void> {
    const token = ++this.db.token;
    for (const range of this.db.ranges) range.token = token;
    this.sync();
    const pass = new Pass(token, elapsed, () => this.may(this.chances.die / 10));
    const run = this.walk(pass);
    // A frozen worker goes on while another one works; the world does not wait for it.
    if (this.choose.between(0, 9) === 0 && this.chances.die > 0) {
      for (let turns = this.choose.between(1, 30); turns > 0; turns--) await Promise.resolve();
      this.zombies.push(run.catch((error: unknown) => (this.mistake ??= error)));
      return;
    }
    if (!(await run) || this.db.token !== token || !this.db.tick) return;
    // The end of the tick sees what the database has.
    if (this.db.ranges.some((range) => !range.done)) return;
    this.db.tick.ended = true;
    this.sync();
  }

  private async walk(pass: Pass): Promise<boolean> {
    const silent = { debug: () => undefined, warn: () => undefined };
    try {
      return await walk(
        {
          rows: this.rowsOf(pass),
          sizing: new Sizing(this.options, undefined),
          stopSignal: pass,
          all: this.all,
          sparse: this.sparse,
          log: silent,
          chunk: () => undefined,
          waits: () => Promise.resolve(),
        },
        this.choose.between(1, 3),
      );
    } catch (error) {
      if (error instanceof Superseded || error instanceof Outage || error instanceof Died) return false;
      if ((error as { type?: string }).type === 'StoreUnavailable') return false;
      throw error;
    }
  }

  private check(
    beginning: ReadonlyMap<number, { sum: number; born: number }>,
    { elapsed, last, opened }: { elapsed: number; last: Bound; opened: number },
  ): void {
    if (this.counted !== this.owed)
      throw new Error(`${this.counted} intervals were counted, and ${this.owed} fell due`);
    for (const [key, row] of this.db.rows) {
      const was = beginning.get(key);
      const stayed = was !== undefined && was.born === row.born;
      const gained = row.sum - (stayed ? was.sum : 0);
      const failed = this.db.failed.has(key);
      if (gained !== 0 && gained !== elapsed)
        throw new Error(`row ${key} has gained ${gained} in a tick of ${elapsed}`);
      if (gained !== 0 && failed && stayed) throw new Error(`row ${key} is reported as failed, and was advanced`);
      if (gained !== 0 && !row.matches) throw new Error(`row ${key} does not match, and was advanced`);
      if (this.quiet && failed && !this.everFailed.has(key))
        throw new Error(`row ${key} is reported as failed, and never did`);
      if (stayed && gained === 0 && !failed && row.matches) throw new Error(`row ${key} was left out of the tick`);
      if (!stayed && row.born < opened) throw new Error(`row ${key} was there before the tick began`);
      if (!stayed && !this.all && gained !== 0 && (last === undefined || key > Number(last[0]))) {
        throw new Error(`row ${key} lies above the last one of the beginning, and was advanced`);
      }
    }
  }
}
