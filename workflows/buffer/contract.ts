/**
 * All that an outsider needs to talk to a buffer: the words, the ids, the signals, updates and queries. Clients,
 * workers and tests import this file; the workflows carry it out (`buffer.ts`: the parent; `shard.ts`: the queue).
 * Their state is in `state.ts`, their activities in `activities.ts`.
 */
import { defineQuery, defineSignal, defineUpdate } from '../lib/messages';
import type { BufferOptions } from './options';
import type { OptionChange } from '../lib/options';
import type { ReconfigureResult } from '../lib/contract';
import type { Json } from '../lib/json';

// ── Ids ──────────────────────────────────────────────────────────────────────────────────────

/** Workflow id of a buffer's parent: `buffer/blocks`. */
export const bufferWorkflowId = (buffer: string): string => `buffer/${buffer}`;

/** Workflow id of one shard: `shard/blocks/0`. */
export const shardWorkflowId = (buffer: string, shard: number): string => `shard/${buffer}/${shard}`;

/** The sender of `init`'s pages, in the shards' marks. */
export const INIT_SENDER = 'init';

// ── What a sender says to a shard ────────────────────────────────────────────────────────────

/**
 * Entries for one shard. `sender` and `seq` (from 1, without gaps) make a repeated message harmless: the SDK and the
 * server may deliver a signal twice. A message typed by hand needs neither: a list of entries, or one, is taken too.
 */
export interface PushMessage {
  sender?: string;
  seq?: number;
  entries?: Json[];
  /** The keys of the entries, where the buffer has a `key`; null: this entry has none. */
  keys?: (string | null)[];
  /** Entries that lie in PostgreSQL already: too large for a signal, or the shard is past its bound. */
  row?: { id: string; count: number };
  /** Bytes of JSON of the entries of a row; those that come themselves are measured on arrival. */
  bytes?: number;
  front?: boolean;
  /** Not before this time, epoch milliseconds. */
  at?: number;
  /** A message of `init`: its pass ends with this page. */
  last?: boolean;
}
export type PushPayload = PushMessage | Json[] | Json;

export const pushSignal = defineSignal<[PushPayload]>('push');

/**
 * `accepted: false`: nothing of the message was taken; say it again after `waitMs`, or not before a start (`stopped`).
 * A shard that is full or stopped refuses the update before it is in its history, which its senders would fill
 * otherwise: ErrorType.BufferFull, BufferStopped.
 */
export type PushAnswer = { accepted: true } | { accepted: false; waitMs: number; stopped?: true };
/** The same with an answer; it never waits inside. Several messages at once: all or none. */
export const pushUpdate = defineUpdate<PushAnswer, [PushMessage[]]>('push');

/** Everything that waits is given to `run` now, whatever the size of the batch. */
export const flushSignal = defineSignal('flush');

// ── What a shard is told by its parent, an operator or the node's memory monitor ─────────────

export interface ShardSettings {
  options: BufferOptions;
  paused: boolean;
  /** End, when what runs has ended and what is left lies in PostgreSQL. */
  stopped?: boolean;
  version: number;
  /** `resume`: what an upstream asked to wait for is not waited for any more. */
  lift?: boolean;
}
export const settingsSignal = defineSignal<[ShardSettings]>('order');

/** Dead letters that were chosen (their rows carry `op`) come back, or are dropped. */
export interface DeadCommand {
  op: string;
  action: 'retry' | 'drop';
  front?: boolean;
}
export const deadSignal = defineSignal<[DeadCommand]>('dead');

/** The node is short of memory (`shrink`), or no longer (`grow`). */
export const memorySignal = defineSignal<['shrink' | 'grow']>('memory');

/**
 * The words of a shard to the node that it is on (sinks): they leave no trace in the history, and may be lost with the
 * node.
 */
export type ShardSinks = {
  buffers: {
    /** The bytes that it keeps in memory, which the memory monitor adds up. */
    size(size: { buffer: string; shard: number; bytes: number; shrunk: boolean; atMinimum: boolean }): void;
    /** How it stands while batches run; `reportShard` says it for good when they have ended. */
    report(report: ShardReport): void;
  };
};

// ── Counts ───────────────────────────────────────────────────────────────────────

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
  /** The pending ones: in the workflow's memory, in PostgreSQL, put off until later. */
  inMemory: number;
  stored: number;
  putOff: number;
  /** Bytes of JSON in the workflow's memory. */
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
/**
 * Lays changes over the definition's options, or takes them back. With a number: only where that is still the version
 * of its row.
 */
export const reconfigureBufferUpdate = defineUpdate<ReconfigureResult, [OptionChange[], number?]>('reconfigure');
/** Replaces the definition's options. More shards are started; surplus ones empty themselves. */
export const declareBufferUpdate = defineUpdate<{ changed: boolean; version: number }, [BufferOptions]>('declare');
/** Starts what is missing of the shards. */
export const wakeBufferSignal = defineSignal('wake');
/** A shard has room for a page of `init`, or nothing left to do. */
export const roomSignal = defineSignal<[ShardRoom]>('room');

export interface ShardRoom {
  shard: number;
  /** Entries that wait in it, or come again soon. */
  waiting: number;
  /** Entries that were put off for longer: `init` would find them again. */
  putOff?: number;
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
