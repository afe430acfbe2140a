/**
 * The work of a decay's tick: rows that match are deleted (or moved, in the same statement) a chunk at a time, until a chunk finds fewer
 * than it may take. What is gone cannot go twice, so no key is remembered; the condition's own index leads to the rows. Called by
 * `pass.ts`.
 */
import type { Queryable } from '../store/database';
import { advance, noteFailedRow } from '../store/ticks';
import { Sizing } from './sizing';
import { decayNext, decayStatement, type DecayWork } from './statement';
import { BEGIN, fenced, isConflict, isRowError, type PassWork, type WorkResult } from './work';
import { allOrFirstError } from './regen';

const FAILED_MAX = 1_000;
const CONFLICTS_MAX = 50;

export async function decay(work: PassWork, known: number | undefined): Promise<WorkResult> {
  const sizing = new Sizing(work.options, known);
  const all = work.options.chunk === 'all';
  const shared: Shared = { failed: [], over: false, streams: [], line: Promise.resolve() };
  // One stream finds out that there are more than a chunk before others join it.
  const first = new DecayStream(work, sizing, shared);
  await first.chunk(all);
  if (!shared.over) {
    const others = Array.from({ length: work.streams - 1 }, () => new DecayStream(work, sizing, shared));
    await allOrFirstError(
      [first, ...others].map((stream) => stream.run()),
      work,
    );
  }
  return { chunkRows: work.options.chunk === 'auto' ? sizing.size : undefined };
}

interface Shared {
  /** Keys of rows that cannot be deleted, as texts of arrays. */
  failed: string[];
  over: boolean;
  streams: DecayStream[];
  /** Failing rows are looked for by one stream at a time. */
  line: Promise<unknown>;
}

class DecayStream {
  private narrowed: number | undefined;
  private conflicts = 0;
  private deleting = false;
  private tripMs = 0;

  constructor(
    private readonly work: PassWork,
    private readonly sizing: Sizing,
    private readonly shared: Shared,
  ) {
    shared.streams.push(this);
  }

  /** Has rows in hand, or looks for one that fails: others do not see them. */
  private get busy(): boolean {
    return this.deleting || this.narrowed !== undefined;
  }

  async run(): Promise<void> {
    while (!this.shared.over && !this.work.ending.reason) {
      const rest = await this.chunk(false);
      if (rest > 0) await this.work.ending.sleep(rest);
    }
  }

  /** @returns how long to rest after it. Milliseconds. */
  async chunk(all: boolean): Promise<number> {
    const { work, shared } = this;
    const limit = this.narrowed ?? this.sizing.size;
    const began = performance.now();
    this.deleting = true;
    try {
      const gone = await this.remove({ all }, { limit });
      const ms = performance.now() - began;
      work.meter.chunk(gone, ms);
      this.conflicts = 0;
      this.deleting = false;
      if (this.narrowed === undefined) {
        if (!all && gone === limit) return this.sizing.took(gone, gone, ms, this.tripMs);
        // What another stream has locked was passed over, and may come back.
        if (shared.streams.some((stream) => stream.busy)) return 5;
        shared.over = true;
        return 0;
      }
      this.narrowed = this.narrowed * 2 >= this.sizing.size ? undefined : this.narrowed * 2;
      return 0;
    } catch (error) {
      if (isConflict(error) && ++this.conflicts < CONFLICTS_MAX) return Math.random() * 20 * this.conflicts;
      if (!isRowError(error)) throw error;
      if (all || limit > 1) this.narrowed = all ? 1_024 : Math.ceil(limit / 2);
      else {
        const turn = shared.line.then(() => this.leaveOut());
        shared.line = turn.catch(() => undefined);
        await turn;
      }
      return 0;
    } finally {
      this.deleting = false;
    }
  }

  private remove(form: { all?: boolean; one?: boolean }, values: Record<string, unknown>): Promise<number> {
    const { work, shared } = this;
    const without = shared.failed.length > 0;
    const statement = decayStatement(work.options.work as DecayWork, work.table, { ...form, without });
    return work.database.transaction(async (db) => {
      const { count } = await statement.run(db, { ...this.values(), ...values });
      await this.note(db, count, 0);
      return count;
    }, BEGIN);
  }

  private async note(db: Queryable, rows: number, failed: number): Promise<void> {
    const { job, token, meter } = this.work;
    const asked = performance.now();
    const written = await advance(db, { job, token, part: 0, from: null, to: null, done: false, rows, failed });
    this.tripMs = performance.now() - asked;
    meter.roundTrip(this.tripMs);
    if (!written) throw fenced(job);
  }

  /** A chunk of one row fails: the next row is tried by its key; if it is the one, it stays and is reported. */
  private async leaveOut(): Promise<void> {
    const { work, shared } = this;
    const next = decayNext(work.options.work as DecayWork, work.table, shared.failed.length > 0);
    const [found] = await next.rows<{ key: string[]; text: string }>(work.database, this.values());
    if (!found) return;
    const { key, text } = found;
    try {
      await this.remove({ one: true }, Object.fromEntries(key.map((value, index) => [`key${index}`, value])));
    } catch (error) {
      if (!isRowError(error) || shared.failed.length >= FAILED_MAX) throw error;
      await work.database.transaction(async (db) => {
        const attempt = { due: work.tick.due, error: error.message, code: error.code, attempts: 1 };
        await noteFailedRow(db, work.job, { key, ...attempt });
        await this.note(db, 0, 1);
      }, BEGIN);
      shared.failed.push(text);
      work.log.warn({ key: key.join(', '), err: error }, 'a row cannot go; it is left where it is');
    }
  }

  private values(): Record<string, unknown> {
    const { tick } = this.work;
    return { elapsed: tick.elapsed, due: new Date(tick.due), failed: this.shared.failed };
  }
}
