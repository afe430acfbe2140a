/**
 * All that an outsider needs to talk to a buffer: the words, the ids, the signals, updates and queries, and the
 * activities that the two workflows call. Clients, workers and tests import this file; the workflows carry it out
 * (`buffer.ts`: the parent; `shard.ts`: the queue).
 */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { ReconfigureResult } from '../tracker/contract';
import type { OptionChange } from '../tracker/options';
import type { BufferOptions } from './options';

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

// ── Ids ──────────────────────────────────────────────────────────────────────────────────────

/** Workflow id of a buffer's parent: `buffer/blocks`. */
export const bufferWorkflowId = (buffer: string): string => `buffer/${buffer}`;

/** Workflow id of one shard: `shard/blocks/0`. */
export const shardWorkflowId = (buffer: string, shard: number): string => `shard/${buffer}/${shard}`;

export function parseBufferWorkflowId(id: string): string | undefined {
  return /^buffer\/([^/]+)$/.exec(id)?.[1];
}

/** The sender of `init`'s pages, in the shards' marks. */
export const INIT_SENDER = 'init';

// ── What a sender says to a shard ────────────────────────────────────────────────────────────

/**
 * Entries for one shard. `sender` and `seq` (from 1, without gaps) make a repeated message harmless: the SDK and the server may
 * deliver a signal twice. A message typed by hand needs neither: a list of entries, or one, is taken too.
 */
export interface PushMessage {
  sender?: string;
  seq?: number;
  entries?: Json[];
  /** The keys of the entries, where the buffer has a `key`; null: this entry has none. */
  keys?: (string | null)[];
  /** Entries that lie in PostgreSQL already: too large for a signal, or the shard is past its bound. */
  row?: { id: string; count: number };
  /** Characters of JSON; counted on arrival where it is missing. */
  bytes?: number;
  front?: boolean;
  /** Not before this time, epoch milliseconds. */
  at?: number;
  /** Of `init`: its pass ends with this page. */
  last?: boolean;
}
export type PushPayload = PushMessage | Json[] | Json;

export const pushSignal = defineSignal<[PushPayload]>('push');

/** `accepted: false`: nothing of the message was taken; say it again after `waitMs`, or not before a start (`stopped`). */
export type PushAnswer = { accepted: true } | { accepted: false; waitMs: number; stopped?: true };
/** The same with an answer; it never waits inside. Several messages at once: all or none. */
export const pushUpdate = defineUpdate<PushAnswer, [PushMessage[]]>('push');

/** Everything that waits is given to `run` now, whatever the size of the batch. */
export const flushSignal = defineSignal('flush');

// ── What a shard is told by its parent, an operator or the node's memory monitor ─────────────

export interface ShardOrders {
  options: BufferOptions;
  paused: boolean;
  /** End, when what runs has ended and what is left lies in PostgreSQL. */
  stopped?: boolean;
  version: number;
}
export const orderSignal = defineSignal<[ShardOrders]>('order');

/** Dead letters that were chosen (their rows carry `op`) come back, or are dropped. */
export interface DeadOrder {
  op: string;
  action: 'retry' | 'drop';
  front?: boolean;
}
export const deadSignal = defineSignal<[DeadOrder]>('dead');

/** The node is short of memory (`shrink`), or no longer (`grow`). */
export const memorySignal = defineSignal<['shrink' | 'grow']>('memory');

/** What a shard says to the node that it is on (sinks): it leaves no trace in the history, and may be lost with the node. */
export type ShardSinks = {
  buffers: {
    /** What it keeps in memory, which the memory monitor adds up. */
    size(size: { buffer: string; shard: number; bytes: number; shrunk: boolean; atMinimum: boolean }): void;
    /** How it stands while batches run; `reportShard` says it for good when they have ended. */
    report(report: ShardReport): void;
  };
};

// ── Entries and counts ───────────────────────────────────────────────────────────────────────

/** A run of entries that have had the same fate so far. Plain JSON: it is carried through continue-as-new. */
export interface Chunk {
  /** The number of its first entry; a shard numbers the entries that it accepts. */
  first: number;
  count: number;
  /** Characters of JSON. */
  bytes: number;
  /** Here, or … */
  entries?: Json[];
  /** … in PostgreSQL: the row, and where in it the run begins. */
  row?: string;
  from?: number;
  keys?: (string | null)[];
  /** When it came, epoch milliseconds; 0: it need not wait for its batch to fill. */
  since: number;
  /** Put off until then. */
  at?: number;
  /** Failures that count: alone, or because `run` said so. */
  attempts?: number;
  /** Failures in company, whose culprit is not known. */
  failed?: number;
  /** Runs in batches of its own, of at most so many. */
  limit?: number;
  /** It is on its way to PostgreSQL, and must not change. */
  storing?: true;
  /** Its order among the stored ones, once it has been sent there: the same again if that failed. */
  place?: number;
  errors?: EntryError[];
}

export interface EntryError {
  at: number;
  error: string;
}

/**
 * The law of a buffer, at every moment:
 * `accepted = done + pending + running + dead + merged + dropped`.
 */
export interface Counts {
  accepted: number;
  /** Handled. */
  done: number;
  /** Waiting: in memory, in PostgreSQL, or put off. */
  pending: number;
  /** In a batch that runs. */
  running: number;
  dead: number;
  /** Made one with a newer entry of the same key. */
  merged: number;
  /** Dead letters that an operator dropped. */
  dropped: number;
}

export interface ShardStatus extends Counts {
  buffer: string;
  shard: number;
  state: 'running' | 'paused' | 'held' | 'stopped';
  /** Of the pending ones: in the workflow's memory, in PostgreSQL, put off until later. */
  inMemory: number;
  stored: number;
  putOff: number;
  /** Characters of JSON in the workflow's memory. */
  bytes: number;
  /** Running batches. */
  batches: number;
  /** Past its bound: what comes goes to PostgreSQL. */
  spilling: boolean;
  /** The node is short of memory, and has asked it to keep little. */
  shrunk: boolean;
  atMinimum: boolean;
  /** The batch size that the upstream takes, where it was found to be less than `maxBatchSize`. */
  learnedSize: number | null;
  /** Failed batches since the last one that did not. */
  failuresInRow: number;
  /** The user's state and its version. */
  userState: Json;
  stateVersion: number;
  lastError: string | null;
  runs: number;
}

/** How a shard stood at a moment of its life, which orders its reports. */
export interface ShardReport {
  status: ShardStatus;
  moment: number;
}
export const shardStatusQuery = defineQuery<ShardStatus>('status');

// ── A shard's workflow: its whole state is one argument ──────────────────────────────────────

/** `front` before `back`; each first in memory, then in PostgreSQL, then on its way there. */
export interface Lane {
  chunks: Chunk[];
  /** In PostgreSQL, to be fetched: rows of the lane from this place on, up to the last that is known to be there. */
  stored: { from: number; to: number; entries: number; bytes: number };
  /** To be stored behind those; still here until they are. */
  overflow: Chunk[];
}

export type LaneName = 'front' | 'back' | 'later';

/** Which messages of a sender are in: all up to `upTo`, and those `above` it. */
export interface SenderMarks {
  upTo: number;
  above: number[];
  /** For forgetting the senders that are gone. */
  seenAt: number;
}

export interface RunningBatch {
  chunks: Chunk[];
  count: number;
}

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
  deadOrders: (DeadOrder & { page: number })[];
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
}

export interface ShardInput {
  buffer: string;
  shard: number;
  orders?: ShardOrders;
  userState?: Json;
  /** Goes on from what was kept when its buffer was stopped. */
  reopen?: boolean;
  state?: ShardState;
}

// ── The parent ───────────────────────────────────────────────────────────────────────────────

export type BufferRunState = 'running' | 'paused' | 'stopped';

export interface BufferCommandResult {
  state: BufferRunState;
  /** False when the buffer was in that state already. */
  changed: boolean;
}
export const pauseBufferUpdate = defineUpdate<BufferCommandResult, []>('pause');
export const resumeBufferUpdate = defineUpdate<BufferCommandResult, []>('resume');
/** Ends the buffer's workflows; what is pending is kept for the next start. Answers before the shards have ended. */
export const stopBufferUpdate = defineUpdate<BufferCommandResult, []>('stop');
export const flushBufferUpdate = defineUpdate<{ shards: number }, []>('flush');
/** Lays changes over the definition's options, or takes them back. */
export const reconfigureBufferUpdate = defineUpdate<ReconfigureResult, [OptionChange[]]>('reconfigure');
/** Replaces the definition's options. More shards are started; surplus ones empty themselves. */
export const declareBufferUpdate = defineUpdate<{ changed: boolean; version: number }, [BufferOptions]>('declare');
/** Starts what is missing of the shards. */
export const wakeBufferSignal = defineSignal('wake');
/** A shard has room for a page of `init`, or nothing left to do. */
export const roomSignal = defineSignal<[ShardRoom]>('room');

export interface ShardRoom {
  shard: number;
  /** Entries that wait in it. */
  waiting: number;
  /** The last message of `init` that it has. */
  seq: number;
}

export interface InitProgress {
  /** Passes begun; 0: there is no `init`. */
  pass: number;
  page: number;
  cursor: Json;
  /** Entries that this pass has found, and all of them. */
  found: number;
  total: number;
  state: 'none' | 'reading' | 'waiting for room' | 'waiting to poll' | 'over';
}

export interface BufferStatus {
  buffer: string;
  state: BufferRunState;
  shards: number;
  options: BufferOptions;
  version: number;
  init: InitProgress;
}
export const bufferStatusQuery = defineQuery<BufferStatus>('status');

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
  runs: number;
}

// ── The activities that the workflows call; built by `activities/buffer/index.ts` ────────────

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

/** What the parent has to know of a page that its shards have. */
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
  /** Of these and those that the options want, the ones to be started; where it was asked for. */
  missing?: MissingShard[];
}

/** A shard that does not run, and has nothing to go on from in Temporal. */
export interface MissingShard {
  shard: number;
  /** What it knew lies in PostgreSQL, since its buffer was stopped. */
  kept: boolean;
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

/** Entries that have no number yet: here, or in the row that has them. */
export interface Loose {
  entries?: Json[];
  row?: string;
  count: number;
  bytes: number;
  keys?: (string | null)[];
}

/** `count: 0`: there are no more. */
export type DeadPage = Loose;

/** Entries of a batch that come again: `count` of them from index `from`. */
export interface Kept {
  from: number;
  count: number;
  /** Put off until then, which uses no attempt. */
  at?: number;
  /** Changed: their new values, or the row that has them. */
  entries?: Json[];
  row?: string;
  bytes?: number;
}

export interface BatchResult {
  node: string;
  ms: number;
  outcome:
    | {
        kind: 'answered';
        kept: Kept[];
        /** New entries. */
        fresh: (Loose & { at?: number })[];
        /** How many had a newer one of the same key, and were not run. */
        voided: number;
        state?: Json;
        reason?: string;
      }
    | { kind: 'failed'; error: string; tooLarge: boolean; final: boolean }
    /** The upstream or the worker asks to wait: no attempt is used. */
    | { kind: 'held'; error: string; forMs: number };
}

export interface StoreRow {
  id: string;
  lane: LaneName;
  /** Order within the lane; null: it stays in memory by reference. */
  place: number | null;
  chunk: Chunk;
}

export interface BufferActivities {
  /** @param input with `shards`, those that the parent knows, also what {@link findMissingShards} does. */
  openBuffer(input: { buffer: string; options?: BufferOptions; shards?: number }): Promise<BufferOpening>;
  /** Of the first `shards`, those to be started. Those that were ended by force go on where they were, and are not among them. */
  findMissingShards(input: { buffer: string; shards: number }): Promise<MissingShard[]>;
  setBufferOptions(input: {
    buffer: string;
    changes: OptionChange[];
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
  /** Writes chunks to PostgreSQL, or adopts those that a sender has written. Done twice, it changes nothing. */
  storeChunks(input: { buffer: string; shard: number; rows: StoreRow[]; keyed: boolean }): Promise<void>;
  /** The next stored chunks of a lane, by reference; of `later`, those that are due: `from` counts these fetches, and the same one again gives the same. */
  fetchChunks(input: {
    buffer: string;
    shard: number;
    lane: LaneName;
    from: number;
    to: number;
    dueMs: number;
    limit: number;
  }): Promise<{ chunks: (Chunk & { row: string })[]; next: number; laterDue: number | null }>;
  buryEntries(input: { buffer: string; shard: number; chunks: Chunk[] }): Promise<void>;
  /** The next page of the dead letters of an order. The same page again gives the same. */
  takeDead(input: {
    buffer: string;
    shard: number;
    op: string;
    action: DeadOrder['action'];
    page: number;
  }): Promise<DeadPage>;
  /** What `status` and the metrics show, and what to delete: rows, and keys of entries up to a number. */
  reportShard(input: ShardReport & { forget: string[]; forgetKeys: number | null }): Promise<void>;
  /** The shard ends: its last report, and all that it knows. What comes of it is in {@link BufferActivities.openShard}. */
  saveShard(input: ShardReport & { forget: string[]; state: ShardState }): Promise<void>;
  /** What was kept of the shard, until its next report says that it goes on. */
  openShard(input: { buffer: string; shard: number }): Promise<ShardState | null>;
}
