/**
 * The definitions that a user writes for work on whole tables in PostgreSQL: `defineRegen` (one statement that advances
 * every row, exactly once a tick), `defineSweep` (rows that are due, handled in pages), `defineDecay` (rows that are
 * deleted or moved). Registered by the config's `regens`, `sweeps` and `decays`, resolved by `config/resolve/job.ts`,
 * run by `activities/job`.
 */
import type { Logger } from 'pino';
import type { JobOptions } from '../../workflows/job/options';
import type { RetryDefinition } from './activity';
import type { Duration } from './types';
import type { Transaction } from './transaction';

/**
 * A table: `'player'`, `'game.player'` (schema and table), or both apart where a name has a dot in it. Names are taken
 * as they are and quoted, so `'Player'` is the table that SQL calls `"Player"`.
 */
export type TableName = string | { schema: string; name: string };

/** The fields that all jobs have. */
export interface JobDefinition {
  /** Unique among trackers and jobs. */
  name: string;
  /** Ticks lie on a grid from the epoch (`'5m'`: :00, :05, …), so they do not drift. Either this or `cron`. */
  every?: Duration;
  /** Five fields (or six, with seconds): `'0 4 * * *'`. */
  cron?: string;
  /** For `cron`. An IANA name such as `'Europe/Berlin'`. @default 'UTC' */
  timeZone?: string;
  /**
   * Ticks that could not run in time (downtime, a long tick): `'skip'` them, do them `'once'` with `:elapsed` saying
   * how many there were, or each of the last n.
   * @default 'once'
   */
  missed?: 'skip' | 'once' | number;
  warnAfter?: Duration;
  heartbeatTimeout?: Duration;
  historyEvents?: number;
  /** Ticks that are kept as history. */
  keep?: number;
  /**
   * The table has row-level policies that hold for the worker's role, and that is meant: rows that they hide are left
   * out.
   * @default false: such a table is refused
   */
  policies?: boolean;
}

/** The fields of regens and decays: they go through their table in chunks. */
export interface ChunkedDefinition extends JobDefinition {
  table: TableName;
  /** The column or columns of a unique index without nulls. @default the primary key */
  key?: string | string[];
  chunk?: number | 'auto' | 'all';
  concurrency?: number;
  pace?: number | 'yield' | 'full';
}

/**
 * A value that grows (or falls) by `add` a tick up to `max` (down to `min`). Numbers, or SQL expressions over columns
 * of the row. The same rule gives the eager statement and the lazy forms (`lazySql`, `lazyValue`).
 */
export interface RuleDefinition {
  column: string;
  add: string | number;
  max?: string | number;
  min?: string | number;
}

/**
 * SQL expressions here may use `:elapsed` (how many intervals this tick stands for, an integer) and `:due` (its time).
 */
export interface RegenDefinition extends ChunkedDefinition {
  /** Column → SQL expression over the row: `{ stamina: 'least(stamina + 1 + endurance / 10, max_stamina)' }`. */
  set?: Record<string, string>;
  /** In place of `set`. */
  rule?: RuleDefinition;
  /**
   * In place of `set` and `where`: one UPDATE of the table, with `:range` (or `:range(p)`, p its alias) in its WHERE
   * clause.
   */
  sql?: string;
  /** A SQL condition. @default every row */
  where?: string;
}

export interface DecayDefinition extends ChunkedDefinition {
  /** A SQL condition: which rows go. */
  where: string;
  /** Rows move to this table (same column names) in the statement that deletes them. */
  moveTo?: TableName;
}

/** The things that a sweep's `handle` knows and may use. */
export interface SweepContext {
  readonly job: string;
  /** The time of the tick. */
  readonly due: Date;
  /** How many intervals the tick stands for. */
  readonly elapsed: number;
  /** From 1: of this page. */
  readonly attempt: number;
  /**
   * A transaction that commits together with the note that the page is done: what is written through it happens once.
   */
  readonly tx: Transaction;
  /** Fires at the timeout, or when another worker has taken over. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Rows that should be handled again, after a wait; the others are done. */
export interface SweepResult<R = SweepRow> {
  retry?: R[];
}

export type SweepRow = Record<string, unknown>;

export interface SweepDefinition<R extends SweepRow = SweepRow> extends JobDefinition {
  table: TableName;
  /** The column or columns of a unique index without nulls. @default the primary key */
  key?: string | string[];
  /** A SQL condition: which rows are due. May use `:due` and `:elapsed`. */
  due: string;
  /** A column or SQL expression: those with the smallest come first. @default the key */
  order?: string;
  /** Rows given to `handle` at once. */
  page?: number;
  /** Pages handled at once. */
  concurrency?: number;
  /** An attempt at a page that takes longer has failed. */
  timeout?: Duration;
  /** Of a page, then of its failing rows alone; after the last one the row is a dead letter. */
  retry?: RetryDefinition;
  handle: (rows: R[], context: SweepContext) => Promise<SweepResult<R> | void> | SweepResult<R> | void;
}

/** One set-based statement over a whole table, each row advanced exactly once a tick. */
export function defineRegen(definition: RegenDefinition): RegenDefinition {
  return definition;
}

/** Rows to delete, or to move to another table, tick by tick. */
export function defineDecay(definition: DecayDefinition): DecayDefinition {
  return definition;
}

/** Rows that are due, claimed in pages and handled by code. `defineSweep<Combat>({ … })` types the rows. */
export function defineSweep<R extends SweepRow = SweepRow>(definition: SweepDefinition<R>): SweepDefinition {
  return definition as unknown as SweepDefinition;
}

/** A definition with its options compiled; made by `config/resolve/job.ts`. */
export interface ResolvedJob {
  name: string;
  options: JobOptions;
  /** The code of a sweep. */
  handle?: SweepDefinition['handle'];
}
