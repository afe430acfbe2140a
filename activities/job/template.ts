/**
 * SQL that is put together from fixed text, quoted names and a user's expressions: which parameter stands where, and
 * which character of an expression an error of PostgreSQL points at. Used by `statement.ts` and `check.ts`.
 */
import { createHash } from 'node:crypto';
import { run, type Database, type Queryable } from '../lib/database';
import { scan } from '../lib/scan';

/** A value for each parameter by its name; names that a statement does not use are left out of it. */
export type Values = Record<string, unknown>;

/** The place of a user's expression in the whole text. */
interface Piece {
  option: string;
  start: number;
  source: string;
  /** Placeholders that were replaced: offsets in the source, and how much longer the text has become. */
  shifts: { at: number; by: number }[];
}

/** The types of the placeholders that an expression may use. */
const PLACEHOLDERS: Record<string, string> = { elapsed: 'integer', due: 'timestamptz' };

const EXPLAIN = { text: 'explain (verbose, format text) ', json: 'explain (verbose, format json) ' };

export class Template {
  private text = '';
  private readonly names: string[] = [];
  private readonly pieces: Piece[] = [];
  private shape = '';

  /** Takes the types of its columns: another plan, so another name, when a table was altered. */
  of(shape: string): this {
    this.shape = shape;
    return this;
  }

  sql(text: string): this {
    this.text += text;
    return this;
  }

  /** `$1::bigint`, the same one each time the same name is used. */
  param(name: string, type: string): this {
    return this.sql(this.paramText(name, type));
  }

  /**
   * An expression of the user, as it is, with `:elapsed` and `:due` as parameters. On lines of its own, so that a
   * comment at its end comments nothing else out.
   */
  expression(option: string, source: string, range?: (alias: string | undefined) => string): this {
    const piece: Piece = { option, start: this.text.length, source, shifts: [] };
    for (const { kind, text, at, name, alias } of scan(source)) {
      if (kind !== 'placeholder' || (name === 'range' && !range)) {
        this.text += text;
        continue;
      }
      const made = name === 'range' ? range!(alias) : this.paramText(name!, PLACEHOLDERS[name!]!);
      piece.shifts.push({ at, by: made.length - text.length });
      this.text += made;
    }
    this.pieces.push(piece);
    return this.sql('\n');
  }

  paramText(name: string, type: string): string {
    let index = this.names.indexOf(name);
    if (index < 0) index = this.names.push(name) - 1;
    return `$${index + 1}::${type}`;
  }

  /** Runs it, prepared under a name of its own. */
  async run<R extends Record<string, unknown>>(db: Queryable, values: Values): Promise<{ rows: R[]; count: number }> {
    const result = await db.query<R>({ name: this.name, text: this.text, values: this.values(values) });
    return { rows: result.rows, count: (result as { rowCount?: number | null }).rowCount ?? result.rows.length };
  }

  /** Planned for the tables as they are now, which may be a thousand times as large as a moment ago. */
  async runOnce<R extends Record<string, unknown>>(db: Queryable, values: Values): Promise<{ rows: R[] }> {
    return db.query<R>({ text: this.text, values: this.values(values) });
  }

  /** The same outside of a transaction. */
  rows<R extends Record<string, unknown>>(database: Database, values: Values = {}): Promise<R[]> {
    return database.rows<R>({ name: this.name, text: this.text }, this.values(values));
  }

  /** Its plan, without running it. */
  async explain(db: Queryable, values: Values, format: 'text' | 'json' = 'text'): Promise<Record<string, unknown>[]> {
    const text = `${EXPLAIN[format]}${this.text}`;
    return run(db, { name: nameOf(text), text }, this.values(values));
  }

  values(given: Values): unknown[] {
    return this.names.map((name) => given[name] ?? null);
  }

  /** As a person reads it. */
  get shown(): string {
    return this.text.replace(/\n(?=[),]|$)/g, '').trim();
  }

  /** The same of a position in the text that `explain` has sent. */
  locateExplained(position: number): ReturnType<Template['locate']> {
    return this.locate(position - EXPLAIN.text.length);
  }

  /** The option, and the character of it (from 1), that a position of PostgreSQL's (from 1) in the text means. */
  locate(position: number): { option: string; position: number; source: string } | undefined {
    const at = position - 1;
    for (const { option, start, source, shifts } of this.pieces) {
      const grown = shifts.reduce((sum, shift) => sum + shift.by, 0);
      if (at < start || at > start + source.length + grown) continue;
      let inner = at - start;
      for (const shift of shifts) if (inner > shift.at) inner = Math.max(shift.at, inner - shift.by);
      return { option, position: Math.min(inner, source.length) + 1, source };
    }
    return undefined;
  }

  private get name(): string {
    return nameOf(this.text + this.shape);
  }
}

/** A prepared statement's name stands for its text: a changed definition is another statement. */
function nameOf(text: string): string {
  return `job-${createHash('sha1').update(text).digest('base64url').slice(0, 20)}`;
}
