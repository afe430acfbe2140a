/**
 * The activities of a buffer's workflows, as these call them, and what goes to them and comes back: all of it is in the
 * histories of shards and parents. Made by `activities/buffer/index.ts`.
 */
import type { BufferCommandResult, BufferRunState, DeadCommand, ShardReport } from './contract';
import type { BufferOptions } from './options';
import type { Beginning, Chunk, LaneName, ShardState } from './state';
import type { OptionChange } from '../lib/options';
import type { ReconfigureResult } from '../lib/contract';
import type { Json } from '../lib/json';

/** Entries that have no number yet: here, or in the row that has them. */
export interface Loose {
  entries?: Json[];
  row?: string;
  count: number;
  bytes: number;
  keys?: (string | null)[];
}

/** A message to a shard: entries of a page, here or in the row that has them. */
export interface InitChunk extends Loose {
  shard: number;
  seq: number;
}

/** A page of `init`, as it is noted: the same however often it is sent. */
export interface InitPage {
  pass: number;
  page: number;
  chunks: InitChunk[];
  entries: number;
  cursor: Json;
  /** The pass is over. */
  last: boolean;
  /** The last message of `init` to each shard, this page's included. */
  seqs: number[];
}

/** The facts that the parent needs of a page that its shards have. */
export interface InitPageRead extends Omit<InitPage, 'chunks'> {
  chunks: Pick<InitChunk, 'shard' | 'seq' | 'count'>[];
}

export interface BufferOpening {
  state: BufferRunState;
  options: BufferOptions;
  version: number;
  userState: Json;
  /** The page that was read last, which may not have reached the shards; null: none was. */
  lastPage: Pick<InitPage, 'pass' | 'page'> | null;
  /** Shards that have ever been there. */
  shards?: number;
  /** The shards to be started, of these and those that the options want; where it was asked for. */
  missing?: MissingShard[];
}

/** A shard that does not run, and has nothing to go on from in Temporal. */
export interface MissingShard {
  shard: number;
  /** Its state lies in PostgreSQL, since its buffer was stopped. */
  kept: boolean;
  /** Nothing is kept of one that was there: a new one goes on from its numbers. */
  begin?: Beginning;
}

export interface BatchInput {
  buffer: string;
  shard: number;
  batch: number;
  chunks: Chunk[];
  count: number;
  state: Json;
  /** Newer entries of the same keys may lie in PostgreSQL: look before running. */
  checkKeys: boolean;
  timeoutMs: number;
  /** Settled rows, deleted on the way. */
  forget: string[];
}

/** `count: 0`: there are no more. `ages`: the numbers that they had. */
export type DeadPage = Loose & { ages?: number[] };

/** Entries of a batch that come again: `count` of them from index `from`. */
export interface Returned {
  from: number;
  count: number;
  /** Put off until then, which uses no attempt. */
  at?: number;
  /** Changed: their new values, or the row that has them. */
  entries?: Json[];
  row?: string;
  bytes?: number;
  /** Measures the new values. */
  keys?: (string | null)[];
}

export interface BatchResult {
  node: string;
  ms: number;
  outcome:
    | {
        kind: 'answered';
        kept: Returned[];
        /** New entries. */
        fresh: (Loose & { at?: number })[];
        /** How many had a newer one of the same key, and were not run. */
        voided: number;
        state?: Json;
        reason?: string;
        /** The rows that came along to be deleted are still there. */
        forgot?: false;
      }
    | { kind: 'failed'; error: string; tooLarge: boolean; final: boolean }
    /** Rows are not there any more; nothing was run. */
    | { kind: 'gone'; error: string; rows: string[] }
    /**
     * The upstream or the worker asks to wait: no attempt is used. `store`: it is PostgreSQL that does not do its part.
     */
    | { kind: 'held'; error: string; forMs: number; store?: true };
}

export interface StoreRow {
  id: string;
  /** A number among the shard's rows; another row that has it is of a run that was ended, and is replaced. */
  number: number;
  lane: LaneName;
  /** Order within the lane; null: it stays in memory by reference. */
  place: number | null;
  chunk: Chunk;
}

export interface RefusedRow {
  id: string;
  error: string;
  count?: number;
}

/** The next stored chunks of a lane, by reference. */
export interface FoundRows {
  chunks: (Chunk & { row: string })[];
  next: number;
  /** When the earliest of the put-off rows is due that are left. */
  laterDue: number | null;
}

export interface BufferActivities {
  /** @param input with `shards`, those that the parent knows, also what {@link findMissingShards} does. */
  openBuffer(input: { buffer: string; options?: BufferOptions; shards?: number }): Promise<BufferOpening>;
  /**
   * The first `shards` that are to be started. Shards that were ended by force go on where they were, and are not among
   * them.
   */
  findMissingShards(input: { buffer: string; shards: number }): Promise<MissingShard[]>;
  setBufferOptions(input: {
    buffer: string;
    changes: OptionChange[];
    expects?: number;
  }): Promise<ReconfigureResult & { options?: BufferOptions }>;
  setBufferState(input: { buffer: string; state: BufferRunState }): Promise<BufferCommandResult>;
  /** Answers with the options that hold now, what was set by hand included. */
  declareBuffer(input: {
    buffer: string;
    options: BufferOptions;
  }): Promise<ReconfigureResult & { options?: BufferOptions }>;
  /** Calls `init` for one page, stores it and sends it to the shards; the same page again is what was stored. */
  readInitPage(input: {
    buffer: string;
    pass: number;
    page: number;
    cursor: Json;
    shards: number;
    seqs: number[];
    limit: number;
  }): Promise<InitPageRead>;
  runBatch(input: BatchInput): Promise<BatchResult>;
  /** Answers where PostgreSQL does: asked, with nothing in hand, before what it did not take is sent again. */
  askStore(): Promise<void>;
  /**
   * Writes chunks to PostgreSQL, or adopts those that a sender has written. Done twice, it changes nothing. If it fails
   * and PostgreSQL is not away, each row is tried by itself.
   * @param input its `moment` orders the stores of a shard: an older one that comes late is fenced
   * @returns the rows that were not stored, and why; with `count` one that has so many entries, and not as many as was
   *   said
   */
  storeChunks(input: {
    buffer: string;
    shard: number;
    rows: StoreRow[];
    keyed: boolean;
    moment: number;
  }): Promise<RefusedRow[]>;
  /**
   * The next stored chunks of a lane, by reference; of `later`, those that are due: `from` counts these fetches, and
   * the same one again gives the same.
   */
  fetchChunks(input: {
    buffer: string;
    shard: number;
    lane: LaneName;
    from: number;
    to: number;
    dueMs: number;
    limit: number;
  }): Promise<FoundRows>;
  buryEntries(input: { buffer: string; shard: number; chunks: Chunk[] }): Promise<void>;
  /** The next page of the dead letters of an order. The same page again gives the same. */
  takeDead(input: {
    buffer: string;
    shard: number;
    op: string;
    action: DeadCommand['action'];
    page: number;
  }): Promise<DeadPage>;
  /** Writes what `status` and the metrics show, and deletes rows, and keys of entries up to a number. */
  reportShard(input: ShardReport & { forget: string[]; forgetKeys: number | null }): Promise<void>;
  /**
   * The shard ends: its last report, and all that it knows. It is read by {@link BufferActivities.openShard}.
   */
  saveShard(input: ShardReport & { forget: string[]; state: ShardState }): Promise<void>;
  /** The state that was kept of the shard, until its next report says that it goes on. */
  openShard(input: { buffer: string; shard: number }): Promise<ShardState | null>;
}
