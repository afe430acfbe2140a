/**
 * Sends parcels to one shard: coalesced, one message at a time, each with the sender's next number so that a repeated
 * one is harmless. A parcel that is too large for a message goes to PostgreSQL first, and so does everything while the
 * shard is past its bound. Used by `senders.ts`; next: the shard's workflow takes the message in
 * (`workflows/buffer/intake.ts`).
 */
import { randomUUID } from 'node:crypto';
import {
  pushSignal,
  pushUpdate,
  shardWorkflowId,
  type PushAnswer,
  type PushMessage,
} from '../../workflows/buffer/contract';
import { sleep } from '../../activities/lib/sleep';
import { ErrorType } from '../../workflows/lib/errors';
import { ORPHAN_SECONDS, SEND_ROW, sendValues } from '../../activities/buffer/store/chunks';
import type { Connections } from '../connections';
import {
  BufferFullError,
  BufferGoneError,
  BufferStoppedError,
  DatabaseUnavailableError,
  PushUnansweredError,
  TemporalUnavailableError,
} from '../errors';
import { temporalClient, temporalCommon } from '../temporal-client';
import { alike, joined, MESSAGE_BYTES, MESSAGE_ENTRIES, type Parcel } from './parcels';

/** A caller who has waited longer than he wanted to is told so after this. Milliseconds. */
const GRACE_MS = 50;
/** Between tries of a message that did not get through, at first and at most. Milliseconds. */
const RETRY_MS = 100;
const RETRY_CAP_MS = 2_000;
/** The time that a full shard has for its next answer, by how long the last one took. Milliseconds. */
const ANSWER_MS = 250;
const ANSWER_CAP_MS = 2_000;

/** A signal is kept by Temporal; an update is answered by the shard itself, which may ask to wait. */
export type PushWay = 'signal' | 'update';

export interface SenderWays {
  /** A parcel that its shard has refused, and that needs no shard of its own: whether another one has taken it. */
  elsewhere?: (parcel: Parcel, deadline: number) => Promise<boolean>;
  /** A parcel for which there is no room is not said again. */
  once?: boolean;
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
  /** The room that is left in the shard's memory, as far as is known. Bytes. */
  private room = Infinity;
  private heard = -1;

  constructor(
    private readonly connections: Connections,
    private readonly buffer: string,
    private readonly shard: number,
    private readonly how: PushWay,
    /** Whether the buffer is stopped: asked when its shard is not there. */
    private readonly isStopped: () => Promise<boolean>,
    private readonly ways: SenderWays = {},
  ) {}

  /**
   * Takes a report of the shard, whose number grows. Past its room, entries would go to PostgreSQL anyway: they
   * are put there from here. Parcels that are sent count until the next report.
   */
  hear(report: number, room: number): void {
    if (report === this.heard) return;
    this.heard = report;
    this.room = room;
  }

  /** Resolves when the shard has it, durably. @throws by its deadline, whatever is before it. */
  send(parcel: Parcel, deadline: number): Promise<void> {
    return new Promise((done, failed) => {
      const timer = setTimeout(() => this.late(waiting), Math.max(0, deadline - Date.now()) + GRACE_MS);
      const ends = <A extends unknown[]>(end: (...args: A) => void) => {
        return (...args: A): void => {
          clearTimeout(timer);
          end(...args);
        };
      };
      const waiting: Waiting = { ...parcel, deadline, done: ends(done), failed: ends(failed) };
      this.waiting.push(waiting);
      this.pump();
    });
  }

  /** Its time is over: nothing of it was sent, or nobody knows. Others that share its message may have more time. */
  private late(parcel: Waiting): void {
    const at = this.waiting.indexOf(parcel);
    if (at >= 0) this.waiting.splice(at, 1);
    parcel.failed(at >= 0 ? new BufferFullError(this.buffer) : new PushUnansweredError(this.buffer));
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

  /** Neighbours that make one message: it is in, or not, for all of them. */
  private nextGroup(): Waiting[] {
    const group = [this.waiting.shift()!];
    let { bytes } = group[0]!;
    let count = group[0]!.entries.length;
    while (this.waiting.length > 0 && alike(group[0]!, this.waiting[0]!)) {
      const next = this.waiting[0]!;
      bytes += next.bytes;
      count += next.entries.length;
      if (bytes > MESSAGE_BYTES || count > MESSAGE_ENTRIES) break;
      group.push(this.waiting.shift()!);
    }
    return group;
  }

  private async deliver(group: Waiting[]): Promise<void> {
    // A caller who has less time is told when that is over.
    const deadline = Math.max(...group.map((parcel) => parcel.deadline));
    const parcel = joined(group);
    const message = await this.message(parcel, deadline);
    if (this.how === 'update') await this.update(message, parcel, deadline);
    else await this.signal(message, deadline);
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

  /**
   * One update at a time; the shard answers at once, and what it does not take another one may, or is said again later.
   */
  private async update(message: PushMessage, parcel: Parcel, deadline: number): Promise<void> {
    const id = shardWorkflowId(this.buffer, this.shard);
    const args: [PushMessage[]] = [[message]];
    // A message that was not answered may still be taken in here.
    let unanswered = false;
    for (let pause = 0; ;) {
      const askedAt = Date.now();
      const withinMs = Math.max(100, deadline - askedAt);
      const say = (): Promise<PushAnswer> =>
        this.connections.temporal(
          (client) => client.workflow.getHandle(id).executeUpdate(pushUpdate, { args }).catch(refusal),
          { withinMs },
        );
      const answer = await this.persist(deadline, say, () => (unanswered = true));
      if (answer.accepted) return;
      if (answer.stopped) throw new BufferStoppedError(this.buffer);
      if (this.ways.once) throw new BufferFullError(this.buffer);
      const goesAnywhere = message.entries !== undefined && !parcel.keys?.some((key) => key !== null);
      if (goesAnywhere && !unanswered && (await this.ways.elsewhere?.(parcel, deadline))) {
        // Its number was not taken.
        this.seq--;
        return;
      }
      pause = Math.min(1_000, Math.max(answer.waitMs, pause * 2));
      // It is full, and nobody would know if the next answer were cut off.
      const answerMs = Math.min(ANSWER_CAP_MS, Math.max(ANSWER_MS, 2 * (Date.now() - askedAt)));
      if (Date.now() + pause + answerMs > deadline) throw new BufferFullError(this.buffer);
      await sleep(pause * (0.8 + 0.4 * Math.random()));
    }
  }

  /** Says the same thing until it gets through or the time is over. */
  private async persist<T>(deadline: number, say: () => Promise<T>, onFailure?: () => void): Promise<T> {
    for (let pause = RETRY_MS; ; pause = Math.min(RETRY_CAP_MS, pause * 2)) {
      try {
        return await say();
      } catch (error) {
        onFailure?.();
        const { WorkflowUpdateRPCTimeoutOrCancelledError } = temporalClient();
        const unanswered = error instanceof WorkflowUpdateRPCTimeoutOrCancelledError;
        const passes =
          unanswered ||
          error instanceof TemporalUnavailableError ||
          error instanceof DatabaseUnavailableError ||
          error instanceof temporalCommon().WorkflowNotFoundError;
        if (!passes) throw error;
        const gone = error instanceof temporalCommon().WorkflowNotFoundError;
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

/**
 * A shard that has no room, or is stopped, refuses the update before it takes it in: that is an answer. @throws
 * anything else
 */
function refusal(error: unknown): PushAnswer {
  const { cause } = error as { cause?: { type?: unknown; details?: unknown[] } };
  if (cause?.type === ErrorType.BufferStopped) return { accepted: false, waitMs: 0, stopped: true };
  if (cause?.type === ErrorType.BufferFull) return { accepted: false, waitMs: Number(cause.details?.[0] ?? 0) };
  throw error;
}
