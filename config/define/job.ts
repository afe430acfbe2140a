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
import type { DefinedUpstream } from './upstream';

/**
 * A table: `'player'`, `'game.player'` (schema and table), or both apart where a name has a dot in it. Names are taken
 * as they are and quoted, so `'Player'` is the table that SQL calls `"Player"`.
 */
export type TableName = string | { schema: string; name: string };

/** The fields that all jobs have. */
interface JobDefinition {
  /** Unique among trackers, buffers and jobs. */
  name: string;
  /**
   * The interval. Ticks lie on a grid from the epoch (UTC), so they do not drift, whatever a tick takes.
   * Required (or `cron`), from 100ms to 366d
   */
  every?: Duration;
  /** Five fields (or six, with seconds): `'0 4 * * *'`. */
  cron?: string;
  /** For `cron`. An IANA name such as `'Europe/Berlin'`. @default 'UTC' */
  timeZone?: string;
  /**
   * Ticks that could not run in time: `skip` them, do them in one (`once`, `:elapsed` says how many), or each of the
   * last n.
   * @default once, from 1 to 10000
   */
  missed?: 'skip' | 'once' | number;
  /**
   * A tick that takes longer is in the band `warning`. Below 0.5 s it is `excellent`, below 2 s `good`, else `fair`.
   * @default 5s, from 1ms to 1d
   */
  warnAfter?: Duration;
  /**
   * A dead worker’s tick is gone on with by another one this long after its last heartbeat.
   * @default 5s, from 1s to 10m
   */
  heartbeatTimeout?: Duration;
  /**
   * Continue-as-new past this many events of the workflow’s history (the server suggests it at 4,096).
   * @default 2000, from 20 to 10000
   */
  historyEvents?: number;
  /** Ticks that are kept as history. @default 1000, from 1 to 1000000 */
  keep?: number;
  /**
   * The table has row-level policies that hold for the worker's role, and that is meant: rows that they hide are left
   * out.
   * @default false: such a table is refused
   */
  policies?: boolean;
}

/** The fields of regens and decays: they go through their table in chunks. */
interface ChunkedDefinition extends JobDefinition {
  /** The table whose rows it works on. */
  table: TableName;
  /** The column or columns of a unique index without nulls. @default the primary key */
  key?: string | string[];
  /**
   * Rows a transaction. `auto` finds, by measured time, the size that locks rows only for some milliseconds; `all` is
   * one statement.
   * @default auto, from 1 to 10000000
   */
  chunk?: number | 'auto' | 'all';
  /** Chunks at once, each on a connection of its own. @default 2, from 1 to 64 */
  concurrency?: number;
  /**
   * `yield` rests after a chunk that others have slowed down; a number is the most rows a second, and yields too;
   * `full` never rests.
   * @default yield, from 1 to 1000000000
   */
  pace?: number | 'yield' | 'full';
}

/**
 * A value that grows (or falls) by `add` a tick up to `max` (down to `min`). Numbers, or SQL expressions over columns
 * of the row. The same rule gives the eager statement and the lazy forms (`lazyRegen(…).sql` and `.value`).
 */
export interface RuleDefinition {
  /** The column that grows or falls. */
  column: string;
  /** Added by each tick; a negative number takes away. */
  add: string | number;
  /** The column does not grow past it. @default no limit */
  max?: string | number;
  /** The column does not fall below it. @default no limit */
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
  /** The table whose rows are due. */
  table: TableName;
  /** The column or columns of a unique index without nulls. @default the primary key */
  key?: string | string[];
  /** A SQL condition: which rows are due. May use `:due` and `:elapsed`. */
  due: string;
  /** A column or SQL expression: those with the smallest come first. @default the key */
  order?: string;
  /** Rows that are claimed, and given to `handle`, at once. @default 100, from 1 to 10000 */
  page?: number;
  /** Pages at once. @default 4, from 1 to 64 */
  concurrency?: number;
  /**
   * An attempt at a page that takes longer has failed. A dead worker’s pages are claimed again after this, not before.
   * @default 30s, from 10ms to 1h
   */
  timeout?: Duration;
  /** Attempts of a page, then of its failing rows alone; after the last one the row is a dead letter. */
  retry?: RetryDefinition;
  /** The upstream that `handle` asks. A page that meets a limit with nothing left is put off until its time. */
  upstream?: DefinedUpstream;
  /** Handles one page of rows. An error that it throws fails the page; rows that it returns in `retry` come again. */
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
  /** The name of the upstream that it asks. */
  upstream?: string;
}
