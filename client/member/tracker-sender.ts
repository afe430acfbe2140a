/**
 * All that one program sends to one tracker: letters are numbered and put into batches by `Sender`, written one batch
 * after another, and written again as they were while nobody has said whether they are stored. Its promises are the
 * backpressure: one resolves when its letter is stored. Made by `post.ts`; next is the mail's table, and the node that
 * keeps the member.
 */
import { randomUUID } from 'node:crypto';
import type { MemberLimits } from '../../activities/tracker/member/constants';
import { MEMBER } from '../../activities/tracker/member/constants';
import { Sender, type Outcome, type Outgoing } from '../../activities/tracker/member/sender';
import type { Inserted, NewMail } from '../../activities/tracker/store/mail';
import { sleep } from '../../activities/lib/sleep';
import { MailboxFullError, SendUnansweredError, TooOldError } from './errors';
import type { Letter } from './letter';

/** Between tries of a batch, at first and at most. Milliseconds. */
const RETRY_MS = 50;
const RETRY_CAP_MS = 1_000;
/** All that may wait for one tracker in this process: past it nobody has waited for what he sent before. */
const WAITING: MemberLimits['poolMail'] = { entries: 100_000, bytes: 256 * 1024 * 1024 };

/** The place that a tracker's letters go to. */
export interface MailStore {
  /** The bounds of a member's mailbox. @throws UnknownTrackerError and its like: nothing can be sent there */
  limits(): Promise<MemberLimits>;
  /** The tracker is not as it was. */
  forget(): void;
  insert(batch: readonly NewMail[], limits: MemberLimits): Promise<Inserted>;
  /** The database's clock. */
  now(): number;
  /** Whether this failure passes, so that the same may be tried again; it may have been done. */
  passes(error: unknown): boolean;
  /** This program hears of its replies under this name. */
  readonly client: string;
}

interface Open {
  readonly letter: Letter;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
  /** It was told to wait for room: its member's, or its pool's. */
  isFull: boolean;
  fullPool?: number | undefined;
  /** It was written once and nobody has said what came of it: whatever is said later, it may be stored. */
  mayBeStored: boolean;
}

export class TrackerSender {
  private readonly sender = new Sender<Letter>(randomUUID());
  private readonly open = new Map<number, Open>();
  private bytes = 0;
  private running: Promise<void> | undefined;
  private wakes: NodeJS.Timeout | undefined;
  /** The last failure of a batch that nobody has answered yet. */
  private trouble: unknown;
  /** A letter came since the last batch was taken. */
  private hasNew = false;
  private onIdle: (() => void)[] = [];

  constructor(
    private readonly tracker: string,
    private readonly store: MailStore,
    private readonly most = WAITING,
  ) {}

  /**
   * Resolves when the letter is stored. Letters of one process to one member are handled in the order of these calls.
   * @throws TooOldError, MailboxFullError, SendUnansweredError, DatabaseUnavailableError, TrackerStoppedError, the
   *   reason of the signal
   */
  send(letter: Letter, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw signal.reason;
      if (this.open.size >= this.most.entries || this.bytes + letter.bytes > this.most.bytes) {
        const why = `was not asked: ${this.open.size} messages of this process wait for '${this.tracker}' already`;
        throw new MailboxFullError(this.tracker, letter.member, why);
      }
      const number = this.sender.add(letter.member, letter, letter.bytes, localNow());
      const timer = setTimeout(() => this.late(number), letter.timeoutMs);
      const onAbort = (): void => this.withdraw(number, () => signal!.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.open.delete(number);
        this.bytes -= letter.bytes;
        if (this.open.size === 0) for (const told of this.onIdle.splice(0)) told();
      };
      const done = (): void => (end(), resolve());
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason of a signal may be anything
      const failed = (error: unknown): void => (end(), reject(error));
      this.open.set(number, { letter, done, failed, isFull: false, mayBeStored: false });
      this.bytes += letter.bytes;
      this.hasNew = true;
      this.go();
    });
  }

  /** Nothing waits in it, and nothing goes on. */
  get isIdle(): boolean {
    return this.open.size === 0 && this.running === undefined && this.sender.isIdle;
  }

  /** Each letter that it was given is stored, or its promise has failed. */
  async idle(): Promise<void> {
    while (this.open.size > 0) await new Promise<void>((told) => this.onIdle.push(told));
    await this.running;
    clearTimeout(this.wakes);
  }

  /** Its time is over. */
  private late(number: number): void {
    const { letter, isFull, fullPool, mayBeStored } = this.open.get(number)!;
    this.withdraw(number, (isWritten) => {
      if (isWritten || mayBeStored) return new SendUnansweredError(this.tracker, letter.member, this.trouble);
      if (!isFull) return this.trouble ?? this.tooSlow(letter);
      return new MailboxFullError(this.tracker, letter.member, undefined, fullPool);
    });
  }

  private tooSlow({ member }: Letter): Error {
    return new MailboxFullError(
      this.tracker,
      member,
      'was not asked in time: what this process has sent before it waits',
    );
  }

  private withdraw(number: number, why: (isWritten: boolean) => unknown): void {
    const isTakenBack = this.sender.takeBack(number);
    this.open.get(number)?.failed(why(!isTakenBack));
  }

  private go(): void {
    this.running ??= this.writeAll().finally(() => {
      this.running = undefined;
      if (this.hasNew) return this.go();
      // Letters for which there was no room are told again.
      if (this.sender.isIdle) return;
      clearTimeout(this.wakes);
      this.wakes = setTimeout(() => this.go(), MEMBER.waitMs);
    });
  }

  private async writeAll(): Promise<void> {
    // All that is sent in the same moment shares a batch.
    await Promise.resolve();
    this.hasNew = false;
    for (let pause = RETRY_MS; this.open.size > 0; pause = Math.min(RETRY_CAP_MS, 2 * pause)) {
      try {
        const limits = await this.store.limits();
        const batch = this.sender.next(localNow());
        if (!batch) return;
        await this.write(batch, limits);
        pause = RETRY_MS;
        continue;
      } catch (error) {
        this.trouble = error;
        if (!this.store.passes(error)) return this.refuseAll(error);
      }
      await sleep(pause);
    }
  }

  private async write(batch: readonly Outgoing<Letter>[], limits: MemberLimits): Promise<void> {
    for (let pause = RETRY_MS; ; pause = Math.min(RETRY_CAP_MS, 2 * pause)) {
      try {
        const inserted = await this.store.insert(this.mailOf(batch), limits);
        this.trouble = undefined;
        return this.answered(batch, inserted);
      } catch (error) {
        if (!this.store.passes(error)) return this.refused(batch, error);
        this.trouble = error;
        for (const { number } of batch) {
          const open = this.open.get(number);
          if (open) open.mayBeStored = true;
        }
      }
      await sleep(pause);
      // Nobody waits for any of it. If it is stored all the same, its numbers keep it from coming after later ones.
      if (!batch.some(({ number }) => this.open.has(number))) return this.sender.abandon();
    }
  }

  /** Nothing can be sent to this tracker. */
  private refuseAll(why: unknown): void {
    for (const [number, open] of this.open) if (this.sender.takeBack(number)) open.failed(this.outcomeOf(open, why));
  }

  /** Why a letter has failed, where that attempt has not stored it: one before may have. */
  private outcomeOf({ letter, mayBeStored }: Open, why: unknown): unknown {
    return mayBeStored ? new SendUnansweredError(this.tracker, letter.member, why) : why;
  }

  private answered(batch: readonly Outgoing<Letter>[], { state, admissions, full }: Inserted): void {
    if (state === undefined || state === 'stopped') return this.notTaken(batch);
    const outcomes = batch.map(({ number }, at): Outcome => {
      const open = this.open.get(number);
      const admission = admissions[at]!;
      if (admission === 'taken') open?.done();
      if (admission === 'too old') open?.failed(this.tooOld(open));
      if (admission === 'wait' && open) Object.assign(open, { isFull: true, fullPool: full.get(at) });
      // Nobody waits for it any more: it was told to be unknown.
      if (admission === 'wait') return open ? 'wait' : 'refused';
      return admission === 'taken' ? 'taken' : 'refused';
    });
    this.sender.answered(outcomes, localNow(), MEMBER.waitMs, full);
  }

  /** The tracker is gone or stopped. It is looked at anew before the next batch, which says why, or goes through. */
  private notTaken(batch: readonly Outgoing<Letter>[]): void {
    this.store.forget();
    const outcomes = batch.map(({ number }): Outcome => {
      const open = this.open.get(number);
      if (open?.mayBeStored) open.failed(this.outcomeOf(open, this.trouble));
      return this.open.has(number) ? 'wait' : 'refused';
    });
    this.sender.answered(outcomes, localNow(), 0);
  }

  private tooOld({ letter: { member }, mayBeStored }: Open): TooOldError {
    const what = mayBeStored ? 'nobody knows whether it was handled' : 'it was not stored';
    const text = `the message to '${member}' of '${this.tracker}' was told too late: ${what}`;
    return new TooOldError(text, mayBeStored ? 'unknown' : false);
  }

  /** Nothing of it was stored, but for what an attempt before may have. */
  private refused(batch: readonly Outgoing<Letter>[], why: unknown): void {
    this.sender.answered(
      batch.map(() => 'refused'),
      localNow(),
      0,
    );
    for (const { number } of batch) {
      const open = this.open.get(number);
      open?.failed(this.outcomeOf(open, why));
    }
  }

  private mailOf(batch: readonly Outgoing<Letter>[]): NewMail[] {
    const ahead = this.store.now() - localNow();
    return batch.map(({ number, previous, toldAt, message }) => {
      const { member, json, bytes, replyTo, trace, request, timeoutMs } = message;
      return {
        ...{ member, json, bytes, from: this.sender.id, number, toldAt: toldAt + ahead },
        ...(previous !== undefined && { previous }),
        ...(replyTo && { replyTo }),
        ...(trace && { trace }),
        ...(request && {
          request: { id: request.id, deadline: toldAt + ahead + timeoutMs, client: this.store.client },
        }),
      };
    });
  }
}

/** It never jumps; the database's clock is laid over it when a letter is written. */
const localNow = (): number => performance.timeOrigin + performance.now();
