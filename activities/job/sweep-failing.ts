/**
 * Rows on which the conditions of a sweep themselves fail: `due` divides by zero, `order` casts a text that is not a
 * number. One of them would fail each claim, and so keep all others from being handled. So they are looked for along
 * the key, as a regen looks for a row that fails: parts of the table are asked without a lock, smaller and smaller
 * ones, until the row is alone; it is reported with no attempt, and claims pass over it from then on. The others go on.
 * With each tick they are asked again, one by one. Used by `sweep.ts`.
 */
import { countRows, forgetUnasked, unaskedRows } from './store/claims';
import type { Queryable } from '../lib/database';
import { noteFailedRow } from './store/ticks';
import { failsOnRow } from './chunk';
import { boundStatement, boundValues, type Bound, type SweepWork } from './statement';
import { emptyProbe, probeStatement } from './sweep-statement';
import { fenced, type PassContext } from './pass-context';

/** More rows than this are the fault of the definition: the sweep stops, and says so. */
const FAILING_MAX = 1_000;
const FIRST_ROWS = 1_000;
/** One statement asks no more than these, so that a worker that must end is not kept. */
const MAX_ROWS = 64_000;

export class FailingRows {
  /** The rows that are known and still there, in all ticks. */
  private known = 0;
  private looked = false;

  private constructor(
    private readonly pass: PassContext,
    private readonly sql: SweepWork,
  ) {}

  /** Asks those of earlier ticks again: whose row was mended is handled with this one. */
  static async open(pass: PassContext): Promise<FailingRows> {
    const failing = new FailingRows(pass, pass.options.work as SweepWork);
    for (const { key, earlier } of await pass.transaction((db) => unaskedRows(db, pass.job, pass.tick.due))) {
      if (pass.stopSignal.reason) break;
      const error = earlier ? await failing.ask({ alone: true, upto: key }) : undefined;
      if (earlier && !error) await pass.transaction((db) => forgetUnasked(db, pass.job, key));
      else failing.known++;
      if (error) await failing.note(key, error);
    }
    return failing;
  }

  /** Claims must pass over failed rows before they ask anything. */
  get guarded(): boolean {
    return this.known > 0 || this.looked;
  }

  /**
   * A claim has failed: finds all rows that it can fail on.
   * @throws the claim's error, where it is not the fault of rows; or that there are too many of them
   */
  async look(error: Error): Promise<void> {
    const { pass, sql } = this;
    await pass.watched((db) => emptyProbe(sql, pass.table).run(db, this.values()));
    const before = this.known;
    let after: Bound;
    for (let size = FIRST_ROWS; !pass.stopSignal.reason;) {
      const span = { after, size, to: undefined as Bound };
      const failed = await this.ask(span);
      if (failed && size > 1) {
        size = Math.ceil(size / 2);
        continue;
      }
      if (failed) {
        // Its row is gone by now, or there never was one.
        if (span.to === undefined) throw failed;
        if (this.known >= FAILING_MAX) throw tooMany(failed);
        await this.note(span.to, failed);
        this.known++;
      }
      if (span.to === undefined) break;
      after = span.to;
      if (!failed) size = Math.min(MAX_ROWS, size * 2);
    }
    // Not even once asked in the one order that is sure: somebody has mended it, or it is none of the rows.
    if (this.looked && this.known === before && !pass.stopSignal.reason) throw error;
    this.looked = true;
  }

  /** @returns what fails. Notes where the rows that were asked end; undefined: with the table. */
  private async ask(
    span: { alone: true; upto: string[] } | { after: Bound; size: number; to: Bound },
  ): Promise<Error | undefined> {
    const { pass } = this;
    try {
      await pass.watched(async (db) => {
        if ('alone' in span) return this.probe(db, undefined, span.upto, true);
        span.to = await this.endOf(db, span.after, span.size);
        return this.probe(db, span.after, span.to, false);
      });
      return undefined;
    } catch (error) {
      if (!failsOnRow(error)) throw error;
      return error as Error;
    }
  }

  private async endOf(db: Queryable, after: Bound, size: number): Promise<Bound> {
    const statement = boundStatement(this.pass.table, { after: after !== undefined, upto: false });
    const { rows } = await statement.run<{ key: string[] }>(db, { ...boundValues(after, undefined), skip: size - 1 });
    return rows[0]?.key;
  }

  private async probe(db: Queryable, after: Bound, upto: Bound, alone: boolean): Promise<void> {
    const span = { after: after !== undefined, upto: upto !== undefined, alone };
    const statement = probeStatement(this.sql, this.pass.table, { span, known: !alone });
    await statement.run(db, { ...this.values(), ...boundValues(after, upto) });
  }

  private async note(key: string[], error: Error): Promise<void> {
    const { pass } = this;
    const { job, token, tick, log } = pass;
    const { code } = error as { code?: unknown };
    await pass.transaction(async (db) => {
      const told = { code: typeof code === 'string' ? code : undefined, error: error.message };
      await noteFailedRow(db, job, { key, due: tick.due, attempts: 0, ...told });
      if (!(await countRows(db, job, token, 0, 1, 0))) throw fenced(job);
    });
    log.warn(
      { key: key.join(', '), err: error },
      'the condition of the sweep fails on a row; it is left out of this tick',
    );
  }

  private values(): Record<string, unknown> {
    const { tick, job } = this.pass;
    return { job, elapsed: tick.elapsed, due: new Date(tick.due) };
  }
}

function tooMany(error: Error): Error {
  return Object.assign(
    new Error(
      `due or order fails on more than ${FAILING_MAX} rows, so nothing more is claimed: mend the definition (or the rows, which ` +
        `\`sweep failed\` lists); PostgreSQL says: ${error.message}`,
      { cause: error },
    ),
    { code: (error as { code?: unknown }).code },
  );
}
