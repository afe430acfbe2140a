/**
 * The state of the two workflows of a buffer, each as one argument: plain JSON, carried through continue-as-new, and
 * kept in PostgreSQL while the buffer is stopped. `shard.ts` and `buffer.ts` hold it; `intake.ts`, `settle.ts`,
 * `spill.ts` and `init.ts` change it.
 */
import type { Counts, DeadCommand, ShardSettings } from './contract';
import type { BufferOptions } from './options';
import type { Json } from '../lib/json';

// ── A shard's entries ────────────────────────────────────────────────────────────────────────

/**
 * A run of entries that have had the same fate so far: how many, where they lie, what has become of them, and whether
 * they are on their way to PostgreSQL. As JSON it stays one flat object, in workflows that run and in PostgreSQL: its
 * four parts are read apart in these types, and nesting them would only change what is stored already.
 */
export interface Chunk extends ChunkSize, ChunkBody, ChunkFate, ChunkWay {}

interface ChunkSize {
  /** The number of its first entry; a shard numbers the entries that it accepts. */
  first: number;
  count: number;
  /** Bytes of its entries as JSON; of a part of a row, its share. */
  bytes: number;
  /** When it came, epoch milliseconds; 0: it need not wait for its batch to fill. */
  since: number;
}

/**
 * Its entries in memory (`entries`, and `keys` in a buffer with keys), or in PostgreSQL (`row` and `from`). Never both.
 */
interface ChunkBody {
  entries?: Json[];
  keys?: (string | null)[];
  /** The row, and where in it the run begins. */
  row?: string;
  from?: number;
  /**
   * The numbers by which the newer one of a key is told, where they are not its own: dead letters that came back are as
   * old as they were.
   */
  ages?: number[];
}

/** Absent in a chunk that has not run yet and is not put off. */
interface ChunkFate {
  /** Put off until then. */
  at?: number;
  /** Failures that count: alone, or because `run` said so. */
  attempts?: number;
  /** Failures in company, whose culprit is not known. */
  failed?: number;
  /** Runs in batches of its own, of at most so many. */
  limit?: number;
  errors?: EntryError[];
  /** The outcome of its batch could not be stored: it is not run before PostgreSQL is back. */
  waits?: true;
}

interface ChunkWay {
  /** It is on its way to PostgreSQL, and must not change. */
  storing?: true;
  /** Its order among the stored ones, once it has been sent there: the same again if that failed. */
  place?: number;
}

export interface EntryError {
  at: number;
  error: string;
}

/** `front` before `back`; each first in memory, then in PostgreSQL, then on its way there. */
export interface Lane {
  chunks: Chunk[];
  /** In PostgreSQL, to be fetched: rows of the lane from this place on, up to the last that is known to be there. */
  stored: { from: number; to: number; entries: number; bytes: number };
  /** To be stored behind those; still here until they are. */
  overflow: Chunk[];
}

export type LaneName = 'front' | 'back' | 'later';

/** One number, or all from the first to the last. */
export type MarkSpan = number | [from: number, to: number];

/** The messages of a sender that are in: all up to `upTo`, and those `above` it, beyond what has not come yet. */
export interface SenderMarks {
  upTo: number;
  above: MarkSpan[];
  /** For forgetting the senders that are gone. */
  seenAt: number;
}

export interface RunningBatch {
  chunks: Chunk[];
  count: number;
  /** When it began, epoch milliseconds. */
  since: number;
  /** Rows that went with it to be deleted: where it fails, they have not been. */
  forget?: string[];
}

/**
 * PostgreSQL did not take something: what needs it waits, and asks with nothing in its hands before it says it again.
 */
export interface Outage {
  /** Failures in a row. */
  failures: number;
  /** Epoch milliseconds: not asked before. */
  untilMs: number;
  /** It has answered: what it did not take is said again. */
  reached?: true;
}

// ── A shard ──────────────────────────────────────────────────────────────────────────────────

export interface ShardState {
  version: 1;
  options: BufferOptions;
  optionsVersion: number;
  paused: boolean;
  stopped?: boolean;
  nextEntry: number;
  nextBatch: number;
  nextRow: number;
  front: Lane;
  back: Lane;
  /** Put off, by time. Past the bound in PostgreSQL, of which the earliest is due at `laterDue`. */
  later: Lane;
  laterDue: number | null;
  /** Empty when the workflow continues as new. */
  running: Record<string, RunningBatch>;
  /** On their way to the dead letters. */
  burying: Chunk[];
  counts: Omit<Counts, 'pending' | 'running'>;
  senders: Record<string, SenderMarks>;
  /** Entries of rows that are in memory by reference and not settled yet. */
  rows: Record<string, number>;
  /** Rows that nothing needs any more. */
  forget: string[];
  /** Commands on dead letters that wait for their turn; histories know them by this name. */
  deadOrders: (DeadCommand & { page: number })[];
  userState: Json;
  stateVersion: number;
  learned: { size: number; wins: number } | null;
  failuresInRow: number;
  holdUntil: number;
  /** Entries numbered below this one need not wait. */
  flushBelow: number;
  spilling: boolean;
  shrunk: boolean;
  lastError: string | null;
  runs: number;
  /** Keys of entries up to this number may be noted in PostgreSQL; absent: none is. */
  noted?: number;
  /** Absent: PostgreSQL took what it was given last. */
  outage?: Outage;
  /** The moment of the newest report, and at first that of the life before this one: the next ones are above it. */
  told?: number;
}

/** The numbers from which a shard goes on that begins anew in the place of one of which nothing is left in Temporal. */
export interface Beginning {
  moment: number;
  entry: number;
  row: number;
}

export interface ShardInput {
  buffer: string;
  shard: number;
  /** The settings at its start; histories know them by this name. */
  orders?: ShardSettings;
  userState?: Json;
  /** Goes on from what was kept when its buffer was stopped. */
  reopen?: boolean;
  /** There was one before it, of which nothing is kept. */
  begin?: Beginning;
  state?: ShardState;
}

// ── The parent ───────────────────────────────────────────────────────────────────────────────

export interface BufferInput {
  buffer: string;
  /** The definition's data, resolved: a start. Absent after continue-as-new and when a patrol restarts the parent. */
  options?: BufferOptions;
  state?: BufferState;
}

export interface BufferState {
  version: 1;
  /** Shards that were ever started. */
  shards: number;
  init: {
    pass: number;
    page: number;
    cursor: Json;
    found: number;
    total: number;
    /** Passes in a row that found nothing: the delay grows with them. */
    emptyPasses: number;
    /** The pass is over; the next begins when all shards are drained and its delay is over. */
    over: boolean;
  };
  /** The last message of a page to each shard, of those that are known of. */
  seqs: number[];
  /** Entries that each shard is believed to have waiting. */
  waiting: number[];
  /** And put off beside them. */
  putOff?: number[];
  runs: number;
}
