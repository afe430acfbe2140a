/**
 * The work of a regen's tick: the key space in parts, each gone through in chunks, several streams at once. A chunk and the progress that
 * speaks of it commit together, so each row that was there when the tick began is advanced exactly once, however often a worker
 * dies. Called by `pass.ts`; the statements are of `statement.ts`, the sizes of `sizing.ts`.
 *
 * Rows that are inserted during the tick: behind the progress they wait for the next tick, before it they are advanced with
 * the others (once), above the last key of the beginning never. A failing row is found by halving its chunk, reported and left out.
 */
import type { Database } from '../store/database';
import { advance, noteFailedRow, rangesOf, type FailedRow, type TickRange } from '../store/ticks';
import type { TableFacts } from './catalog';
import { Sizing } from './sizing';
import {
  boundStatement,
  boundValues,
  lastKeyStatement,
  regenStatement,
  sampleStatement,
  type Bound,
  type RegenWork,
} from './statement';
import type { Template } from './template';
import { BEGIN, fenced, isConflict, isRowError, stillHeld, type PassWork, type WorkResult } from './work';

/** A part has about this many pages (8 kB each), so that the last parts of all streams end at about the same time. */
const PART_PAGES = 256;
const MAX_PARTS = 32;
const SAMPLED_PAGES = 64;
/** More rows than this are not the fault of single rows: the tick ends. */
const FAILED_MAX = 1_000;
const CONFLICTS_MAX = 50;

/** Cuts the key space as it is now. Keys above its last one belong to later ticks. */
export async function cutRanges(database: Database, table: TableFacts, chunk: PassWork['options']['chunk']) {
  if (chunk === 'all') return [{ part: 0, after: null, upto: null, done: false }];
  const [last] = await lastKeyStatement(table).rows<{ key: string[] }>(database);
  if (!last) return [];
  const parts = Math.min(MAX_PARTS, Math.floor(table.pages / PART_PAGES));
  const cuts: string[][] = [];
  if (parts > 1) {
    const percent = Math.min(100, (SAMPLED_PAGES / table.pages) * 100);
    const keys = await sampleStatement(table, percent).rows<{ key: string[] }>(database);
    for (let part = 1; part < parts; part++) {
      const key = keys[Math.floor((part / parts) * keys.length)]?.key;
      if (key && !sameKey(key, cuts.at(-1)) && !sameKey(key, last.key)) cuts.push(key);
    }
  }
  const ends = [...cuts, last.key];
  return ends.map((upto, part): TickRange => ({ part, after: part === 0 ? null : ends[part - 1]!, upto, done: false }));
}

export async function regen(work: PassWork, known: number | undefined): Promise<WorkResult> {
  const sizing = new Sizing(work.options, known);
  const all = await work.database.transaction((db) => rangesOf(db, work.job));
  const ranges = all.filter((range) => !range.done);
  const failed = { rows: 0 };
  const stream = async (): Promise<void> => {
    for (let range = ranges.shift(); range && !work.ending.reason; range = ranges.shift()) {
      await new RangeWork(work, range, sizing, failed).run();
    }
  };
  await allOrFirstError(Array.from({ length: work.streams }, stream), work);
  const complete = all.every((range) => range.done);
  return { complete, chunkRows: work.options.chunk === 'auto' ? sizing.size : undefined };
}

/** When one stream fails the others end with their chunk, and only then it is told. */
export async function allOrFirstError(streams: Promise<void>[], { ending }: PassWork): Promise<void> {
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

/** One part, chunk by chunk. */
class RangeWork {
  private readonly sql: RegenWork;
  private readonly statements = new Map<string, Template>();
  /** While a failing row is looked for: the size that is tried. */
  private narrowed: number | undefined;
  private conflicts = 0;
  private tripMs = 0;

  constructor(
    private readonly work: PassWork,
    private readonly range: TickRange,
    private readonly sizing: Sizing,
    private readonly failed: { rows: number },
  ) {
    this.sql = work.options.work as RegenWork;
  }

  async run(): Promise<void> {
    while (!this.range.done && !this.work.ending.reason) {
      const rest = await this.chunk(this.narrowed ?? this.sizing.size);
      if (rest > 0) await this.work.ending.sleep(rest);
    }
  }

  /** @returns how long to rest after it. Milliseconds. */
  private async chunk(size: number): Promise<number> {
    const { range, work } = this;
    const bound = this.isWhole ? undefined : await this.boundOf(size);
    const end: End = {
      to: bound ?? range.upto ?? undefined,
      done: bound === undefined || sameKey(bound, range.upto),
    };
    const began = performance.now();
    try {
      const changed = await this.advance(end);
      if (changed === undefined) return 0;
      const ms = performance.now() - began;
      work.meter.chunk(changed, ms);
      this.conflicts = 0;
      // The rest of a part says nothing of a whole chunk.
      if (this.narrowed === undefined)
        return this.sizing.took(bound === undefined ? 0 : size, changed, ms, this.tripMs);
      this.narrowed = this.narrowed * 2 >= this.sizing.size ? undefined : this.narrowed * 2;
      return 0;
    } catch (error) {
      if (isConflict(error) && ++this.conflicts < CONFLICTS_MAX) {
        work.log.debug({ err: error }, 'a chunk was in the way of another transaction; it is done again');
        return Math.random() * 20 * this.conflicts;
      }
      if (!isRowError(error)) throw error;
      if (this.isWhole) await this.cut(error);
      else if (size > 1) this.narrowed = Math.ceil(size / 2);
      else if (bound !== undefined) await this.leaveOut(bound, end, error);
      return 0;
    }
  }

  /** One statement without a range. */
  private get isWhole(): boolean {
    return this.work.options.chunk === 'all' && this.range.upto === null;
  }

  /** The key of the last row of a chunk; undefined where the part ends before. */
  private async boundOf(size: number): Promise<Bound> {
    const { after, upto } = this.range;
    const statement = this.statement('bound', after !== null, upto !== null);
    const values = { ...boundValues(after ?? undefined, upto ?? undefined), skip: size - 1 };
    return (await statement.rows<{ key: string[] }>(this.work.database, values))[0]?.key;
  }

  /**
   * The chunk's transaction: its rows (or the report of the one that fails), then the progress. Undefined when nothing was written,
   * because the database knows of other progress: it was restarted, and has lost commits that were not yet on its disk.
   */
  private async advance({ to, done }: End, left?: FailedRow): Promise<number | undefined> {
    const { job, token, database, tick, meter } = this.work;
    const { range } = this;
    const statement = this.statement('chunk', range.after !== null, to !== undefined);
    const values = { ...boundValues(range.after ?? undefined, to), elapsed: tick.elapsed, due: new Date(tick.due) };
    try {
      const rows = await database.transaction(async (db) => {
        const changed = left ? 0 : (await statement.run(db, values)).count;
        if (left) await noteFailedRow(db, job, left);
        const asked = performance.now();
        const step = { job, token, part: range.part, from: range.after, to: to ?? null, done };
        const written = await advance(db, { ...step, rows: changed, failed: left ? 1 : 0 });
        this.tripMs = performance.now() - asked;
        meter.roundTrip(this.tripMs);
        if (!written) throw new OtherProgress();
        return changed;
      }, BEGIN);
      range.after = to ?? range.after;
      range.done = done;
      return rows;
    } catch (error) {
      if (!(error instanceof OtherProgress)) throw error;
      await this.reload();
      return undefined;
    }
  }

  private async reload(): Promise<void> {
    if (!(await stillHeld(this.work))) throw fenced(this.work.job);
    const ranges = await this.work.database.transaction((db) => rangesOf(db, this.work.job));
    const now = ranges.find((range) => range.part === this.range.part);
    if (!now) throw fenced(this.work.job);
    Object.assign(this.range, now);
  }

  /** A single statement over the whole table fails on some row: it is cut into chunks, where it can be. */
  private async cut(error: Error): Promise<void> {
    if ('sql' in this.sql && !/:range\b/.test(this.sql.sql)) throw error;
    const [last] = await lastKeyStatement(this.work.table).rows<{ key: string[] }>(this.work.database);
    if (!last) throw error;
    this.range.upto = last.key;
    this.narrowed = 1_024;
  }

  private async leaveOut(key: string[], end: End, error: Error & { code: string }): Promise<void> {
    const { work } = this;
    this.failed.rows++;
    if (this.failed.rows > FAILED_MAX) throw error;
    await this.advance(end, { key, due: work.tick.due, error: error.message, code: error.code, attempts: 1 });
    work.log.warn({ key: key.join(', '), err: error }, 'a row fails; it is left out of this tick');
  }

  private statement(kind: 'bound' | 'chunk', after: boolean, upto: boolean): Template {
    const name = `${kind} ${after} ${upto}`;
    let made = this.statements.get(name);
    if (!made) {
      const ends = { after, upto };
      const { table } = this.work;
      made = kind === 'bound' ? boundStatement(table, ends) : regenStatement(this.sql, table, ends);
      this.statements.set(name, made);
    }
    return made;
  }
}

interface End {
  to: Bound;
  /** Nothing of the part is left after it. */
  done: boolean;
}

const sameKey = (a: string[], b: string[] | null | undefined): boolean => b?.join('\0') === a.join('\0');

class OtherProgress extends Error {}
