/**
 * The words between a tick's way through its table (`walk.ts`, `range.ts`) and the rows that it goes over
 * (`store/rows.ts`, or the simulated ones of `test/job/world.ts`): what is asked of a chunk, and what became of it.
 */
import type { Logger } from 'pino';
import { classOf } from '../lib/sqlstate';
import type { TickRange } from './store/ticks';
import type { Sizing } from './sizing';
import type { Bound } from './statement';

/** The questions that the rows of a table can be asked, each in a transaction of its own. */
export interface Rows {
  /** The parts of the open tick. */
  ranges(): Promise<TickRange[]>;
  /** Whether the job is still this pass's. */
  isHeld(): Promise<boolean>;
  /** The key of the table's last row. */
  lastKey(): Promise<Bound>;
  /** Advances the rows of a chunk, and the progress with them. Never throws what PostgreSQL says of the rows. */
  chunk(range: TickRange, ask: Ask): Promise<ChunkOutcome>;
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

export type ChunkOutcome =
  | { kind: 'done'; to: Bound; done: boolean; whole: boolean; rows: number; ms: number; tripMs: number }
  /** The database knows of other progress. */
  | { kind: 'other progress' }
  /**
   * Nothing was written. `to`: where the chunk would have ended, as far as that was known; `looking`: it was looked for
   * just then.
   */
  | { kind: 'failed'; error: Error; to: Bound; looking: boolean };

/** The things that end a pass, and its sleep. */
export interface Ends {
  readonly reason: string | undefined;
  end(reason: 'handed back'): void;
  sleep(ms: number): Promise<void>;
}

export interface Walk {
  rows: Rows;
  sizing: Sizing;
  stopSignal: Ends;
  /** One statement for all, where nothing is in its way. */
  all: boolean;
  /** A chunk is so many rows that match, which may lie far apart. */
  sparse: boolean;
  log: Pick<Logger, 'debug' | 'warn'>;
  /** Told of each chunk; and of what is waited for, once it takes long. */
  chunk(rows: number, ms: number): void;
  waits(why: string): Promise<void>;
}

/** Between two tries at what somebody holds locked, at most. Milliseconds. */
export const REST_MAX_MS = 1_000;
/** A chunk that was tried so often in vain is shown by `status`. */
export const TELL_AFTER = 8;

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

export const isLock = (error: Error): boolean => (error as { code?: unknown }).code === '55P03';
