/**
 * How entries get from a program to their shard: coalesced, a few messages at once, each with the sender's next number so that a
 * repeated one is harmless. What is too large for a message goes to PostgreSQL first, and so does everything while the shard is past its
 * bound. Used by `senders.ts`; next: the shard's workflow takes the message in (`workflows/buffer/intake.ts`).
 */
import { randomUUID } from 'node:crypto';
import { WorkflowNotFoundError } from '@temporalio/common';
import { pushSignal, pushUpdate, shardWorkflowId, type Json, type PushMessage } from '../workflows/buffer/contract';
import { SEND_ROW, sendValues } from '../activities/store/chunks';
import type { Connections } from './connections';
import {
  BufferFullError,
  BufferGoneError,
  BufferStoppedError,
  DatabaseUnavailableError,
  PushUnansweredError,
  TemporalUnavailableError,
} from './errors';
import { temporalClient } from './temporal-client';

/** One message at most. Characters of JSON. */
export const MESSAGE_BYTES = 128 * 1024;
export const MESSAGE_ENTRIES = 2_000;
/** An entry of more is stored, and sent by reference. Characters of JSON. */
export const LARGE_BYTES = 64 * 1024;
/** A stored row whose message never came is deleted then. */
const ORPHAN_SECONDS = 86_400;
/** Between tries of a message that did not get through, at first and at most. Milliseconds. */
const RETRY_MS = 100;
const RETRY_CAP_MS = 2_000;

/** A signal is kept by Temporal; an update is answered by the shard itself, which may ask to wait. */
export type PushWay = 'signal' | 'update';

/** A part of one push that goes to one shard: small enough for a message. */
export interface Parcel {
  entries: Json[];
  /** Characters of JSON. */
  bytes: number;
  keys?: (string | null)[];
  front?: boolean;
  at?: number;
}

interface Waiting extends Parcel {
  deadline: number;
  done: () => void;
  failed: (error: unknown) => void;
}

/** Everything that one program sends to one shard, in one of the two ways. */
export class ShardSender {
  private readonly waiting: Waiting[] = [];
  private underWay = false;
  private sender = randomUUID();
  private seq = 0;
  /** What the shard's memory still has room for, as far as is known. Characters. */
  private room = Infinity;
  private heard = -1;

  constructor(
    private readonly connections: Connections,
    private readonly buffer: string,
    private readonly shard: number,
    private readonly how: PushWay,
    /** Whether the buffer is stopped: asked when its shard is not there. */
    private readonly isStopped: () => Promise<boolean>,
  ) {}

  /**
   * What the shard has reported, with a number that grows. Past its room, entries would go to PostgreSQL anyway: they are put there
   * from here. What is sent counts until the next report.
   */
  hear(report: number, room: number): void {
    if (report === this.heard) return;
    this.heard = report;
    this.room = room;
  }

  /** Resolves when the shard has it, durably. */
  send(parcel: Parcel, deadline: number): Promise<void> {
    return new Promise((done, failed) => {
      this.waiting.push({ ...parcel, deadline, done, failed });
      this.pump();
    });
  }

  /** One message at a time, so that the order stays. Callers that come while it is under way share the next one. */
  private pump(): void {
    if (this.underWay || this.waiting.length === 0) return;
    const group = this.nextGroup();
    this.underWay = true;
    this.deliver(group)
      .then(
        () => group.forEach((parcel) => parcel.done()),
        (error: unknown) => {
          // The number may or may not be in; another sender's numbers begin anew.
          this.sender = randomUUID();
          this.seq = 0;
          group.forEach((parcel) => parcel.failed(error));
        },
      )
      .finally(() => {
        this.underWay = false;
        this.pump();
      });
  }

  private nextGroup(): Waiting[] {
    const group = [this.waiting.shift()!];
    let { bytes } = group[0]!;
    let count = group[0]!.entries.length;
    while (this.waiting.length > 0) {
      const next = this.waiting[0]!;
      bytes += next.bytes;
      count += next.entries.length;
      if (bytes > MESSAGE_BYTES || count > MESSAGE_ENTRIES) break;
      group.push(this.waiting.shift()!);
    }
    return group;
  }

  private async deliver(group: Waiting[]): Promise<void> {
    const deadline = Math.min(...group.map((parcel) => parcel.deadline));
    const messages: PushMessage[] = [];
    for (const parcel of joined(group)) messages.push(await this.message(parcel, deadline));
    if (this.how === 'update') return this.update(messages, deadline);
    for (const message of messages) await this.signal(message, deadline);
  }

  private async message({ entries, bytes, keys, front, at }: Parcel, deadline: number): Promise<PushMessage> {
    const seq = ++this.seq;
    const rest = { sender: this.sender, seq, bytes, ...(front ? { front } : {}), ...(at === undefined ? {} : { at }) };
    const itself = { ...rest, entries, ...(keys ? { keys } : {}) };
    const fits = bytes <= MESSAGE_BYTES;
    if (fits && (this.how === 'update' || this.hasRoom(bytes))) return itself;
    const id = `${this.sender}.${seq}`;
    const row = { buffer: this.buffer, id, entries, json: JSON.stringify(entries), keys };
    const store = (): Promise<unknown> => this.connections.rows(SEND_ROW, sendValues(row, ORPHAN_SECONDS));
    try {
      await (fits ? store() : this.persist(deadline, store));
    } catch (error) {
      // A shard past its bound has a little room for what it cannot store.
      if (fits && error instanceof DatabaseUnavailableError) return itself;
      throw error;
    }
    return { ...rest, row: { id, count: entries.length } };
  }

  private hasRoom(bytes: number): boolean {
    this.room -= bytes;
    return this.room >= 0;
  }

  private async signal(message: PushMessage, deadline: number): Promise<void> {
    const id = shardWorkflowId(this.buffer, this.shard);
    await this.persist(deadline, () =>
      this.connections.temporal((client) => client.workflow.getHandle(id).signal(pushSignal, message)),
    );
  }

  /** One update at a time; the shard answers at once, and what it does not take is said again later. */
  private async update(messages: PushMessage[], deadline: number): Promise<void> {
    const id = shardWorkflowId(this.buffer, this.shard);
    const args: [PushMessage[]] = [messages];
    for (let pause = 0; ;) {
      const withinMs = Math.max(100, deadline - Date.now());
      const answer = await this.persist(deadline, () =>
        this.connections.temporal((client) => client.workflow.getHandle(id).executeUpdate(pushUpdate, { args }), {
          withinMs,
        }),
      );
      if (answer.accepted) return;
      if (answer.stopped) throw new BufferStoppedError(this.buffer);
      pause = Math.min(1_000, Math.max(answer.waitMs, pause * 2));
      if (Date.now() + pause > deadline) throw new BufferFullError(this.buffer);
      await sleep(pause * (0.8 + 0.4 * Math.random()));
    }
  }

  /** Says the same thing until it gets through or the time is over. */
  private async persist<T>(deadline: number, say: () => Promise<T>): Promise<T> {
    for (let pause = RETRY_MS; ; pause = Math.min(RETRY_CAP_MS, pause * 2)) {
      try {
        return await say();
      } catch (error) {
        const { WorkflowUpdateRPCTimeoutOrCancelledError } = temporalClient();
        const unanswered = error instanceof WorkflowUpdateRPCTimeoutOrCancelledError;
        const passes =
          unanswered ||
          error instanceof TemporalUnavailableError ||
          error instanceof DatabaseUnavailableError ||
          error instanceof WorkflowNotFoundError;
        if (!passes) throw error;
        const gone = error instanceof WorkflowNotFoundError;
        if (gone && (await this.isStopped())) throw new BufferStoppedError(this.buffer);
        if (Date.now() + pause > deadline) {
          if (gone) throw new BufferGoneError(this.buffer);
          throw unanswered ? new PushUnansweredError(this.buffer, error) : error;
        }
      }
      await sleep(pause);
    }
  }
}

/** Neighbours that go to the same place become one; the order stays. */
function joined(group: readonly Parcel[]): Parcel[] {
  const parcels: Parcel[] = [];
  for (const parcel of group) {
    const last = parcels.at(-1);
    const alike = last && last.front === parcel.front && last.at === parcel.at && !last.keys === !parcel.keys;
    if (!alike) {
      parcels.push({ ...parcel });
      continue;
    }
    last.entries = last.entries.concat(parcel.entries);
    if (last.keys) last.keys = last.keys.concat(parcel.keys!);
    last.bytes += parcel.bytes;
  }
  return parcels;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));
