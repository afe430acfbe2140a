/**
 * The rows of a regen's or decay's table, as `walk.ts` and `range.ts` ask for them: each chunk is one transaction, in
 * which its rows and the progress that speaks of them commit together, fenced by the job's token. The statements are of
 * `statement.ts`. Made by `regen.ts`.
 */
import { reach } from '../../lib/points';
import { classOf } from '../../lib/sqlstate';
import { noteProgress, noteFailedRow, putOff, rangesOf, type TickRange } from './ticks';
import { readsItself } from '../plan-tree';
import type { Ask, ChunkOutcome, Rows } from '../chunk';
import { sameKey } from '../key';
import {
  boundStatement,
  boundValues,
  decayStatement,
  isBoundless,
  lastKeyStatement,
  lockedStatement,
  regenStatement,
  type Bound,
  type Span,
} from '../statement';
import type { Queryable } from '../../lib/database';
import type { Template } from '../template';
import { stillHeld, type PassContext } from '../pass-context';

/** `bound`: where a chunk of so many rows that go ends; `key`: of so many keys, whatever the condition says of them. */
type Kind = 'bound' | 'key' | 'chunk' | 'locked';

export class TableRows implements Rows {
  private readonly statements = new Map<string, Template>();

  constructor(private readonly pass: PassContext) {}

  ranges(): Promise<TickRange[]> {
    return this.pass.database.transaction((db) => rangesOf(db, this.pass.job));
  }

  isHeld(): Promise<boolean> {
    return stillHeld(this.pass);
  }

  async lastKey(): Promise<Bound> {
    const { rows } = await this.pass.watched((db) => lastKeyStatement(this.pass.table).run<{ key: string[] }>(db, {}));
    return rows[0]?.key;
  }

  async chunk(range: TickRange, ask: Ask): Promise<ChunkOutcome> {
    let to: Bound;
    let looking = true;
    let began = performance.now();
    try {
      const step = await this.pass.watched(async (db) => {
        to = await this.endOf(db, range, ask);
        looking = false;
        began = performance.now();
        await reach('chunk.begun');
        const end = to ?? range.upto ?? undefined;
        const rows = ask.leaveOut ? 0 : await this.advanceRows(db, range, ask, end);
        if (ask.leaveOut) await this.report(db, ask.leaveOut);
        const done = to === undefined || range.alone === true || sameKey(to, range.upto);
        const tripMs = await this.note(db, range, ask, { to: end, done, rows });
        return { to: end, done, rows, tripMs, whole: to !== undefined };
      });
      await reach('chunk.committed');
      return { kind: 'done', ...step, ms: performance.now() - began };
    } catch (error) {
      if (error instanceof OtherProgress) return { kind: 'other progress' };
      if (classOf(error) === 'outage') throw error;
      return { kind: 'failed', error: error as Error, to, looking };
    }
  }

  async locked(range: TickRange, to: Bound, limit: number): Promise<string[][]> {
    const end = to ?? range.upto ?? undefined;
    const statement = this.statement('locked', { after: range.after !== null, upto: end !== undefined });
    const values = { ...boundValues(range.after ?? undefined, end), limit };
    const { rows } = await this.pass.watched((db) => statement.run<{ key: string[] }>(db, values));
    return rows.map(({ key }) => key);
  }

  async mustBeWhole(): Promise<boolean> {
    const { options, table } = this.pass;
    return isBoundless(options.work) || this.pass.watched((db) => readsItself(db, options.work, table));
  }

  /** The end of the chunk: the key of its last row; undefined where its part ends before. */
  private async endOf(db: Queryable, range: TickRange, ask: Ask): Promise<Bound> {
    if (range.alone) return range.upto ?? undefined;
    if (ask.leaveOut) return ask.leaveOut.key;
    if (ask.putOff) return ask.putOff.to;
    if (ask.size === undefined) return undefined;
    const { after, upto } = range;
    const span = { after: after !== null, upto: upto !== null, careful: ask.careful };
    const statement = this.statement(ask.byKey ? 'key' : 'bound', span);
    const values = { ...boundValues(after ?? undefined, upto ?? undefined), ...this.tick, skip: ask.size - 1 };
    return (await statement.run<{ key: string[] }>(db, values)).rows[0]?.key;
  }

  private async advanceRows(db: Queryable, range: TickRange, ask: Ask, end: Bound): Promise<number> {
    const span: Span = {
      after: range.after !== null,
      upto: end !== undefined,
      alone: range.alone,
      without: ask.putOff !== undefined,
      careful: ask.careful,
    };
    const values = { ...boundValues(range.after ?? undefined, end), ...this.tick };
    const without = JSON.stringify(ask.putOff?.keys ?? []);
    return (await this.statement('chunk', span, ask.size === undefined).run(db, { ...values, without })).count;
  }

  private report(db: Queryable, { key, error }: NonNullable<Ask['leaveOut']>): Promise<void> {
    const { job, tick } = this.pass;
    const code = (error as { code?: unknown }).code;
    const row = { key, due: tick.due, error: error.message, attempts: 1 };
    return noteFailedRow(db, job, { ...row, code: typeof code === 'string' ? code : undefined });
  }

  /**
   * The progress, as the last statement: it finds nothing when another holder has the fence. @returns the round trip,
   * milliseconds
   */
  private async note(
    db: Queryable,
    range: TickRange,
    ask: Ask,
    { to, done, rows }: { to: Bound; done: boolean; rows: number },
  ): Promise<number> {
    const { job, token, meter } = this.pass;
    if (ask.putOff) await putOff(db, job, token, ask.putOff.part, ask.putOff.keys);
    const asked = performance.now();
    const step = { job, token, part: range.part, from: range.after, to: to ?? null, done };
    const written = await noteProgress(db, { ...step, rows, failed: ask.leaveOut ? 1 : 0 });
    const tripMs = performance.now() - asked;
    meter.roundTrip(tripMs);
    if (!written) throw new OtherProgress();
    return tripMs;
  }

  private get tick(): Record<string, unknown> {
    const { tick } = this.pass;
    return { elapsed: tick.elapsed, due: new Date(tick.due) };
  }

  private statement(kind: Kind, span: Span, all = false): Template {
    const name = JSON.stringify([kind, span.after, span.upto, span.alone, span.without, span.careful, all]);
    const made = this.statements.get(name) ?? this.make(kind, span, all);
    this.statements.set(name, made);
    return made;
  }

  private make(kind: Kind, span: Span, all: boolean): Template {
    const { table, options } = this.pass;
    const { work } = options;
    if (kind === 'locked') return lockedStatement(table, span);
    if (kind === 'key') return boundStatement(table, span);
    if (work.kind === 'decay') {
      return kind === 'bound'
        ? boundStatement(table, span, work.where)
        : decayStatement(work, table, { ...span, all: all && !span.after });
    }
    if (work.kind !== 'regen') throw new Error(`a ${work.kind} is not gone through in chunks`);
    return kind === 'bound' ? boundStatement(table, span) : regenStatement(work, table, span);
  }
}

class OtherProgress extends Error {}
