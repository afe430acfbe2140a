/**
 * The words of members with a life: mail, turns, and the commit that makes a turn so.
 *
 * All of this folder is pure: no I/O, no clock, no randomness. Its caller tells it the time and carries out what it
 * says. The way of a message, file by file:
 *
 * 1. `sender.ts` numbers what a process sends and puts it into batches; `admission.ts` says which of them the mail
 *    tables take, and which must wait.
 * 2. `pool-members.ts` holds what is in memory of a pool: `pool-mail.ts` takes in what was read, and it says who has
 *    the
 *    next turn.
 * 3. `mailbox.ts` has one member's mail, in order for each sender (`marks.ts` says what was told twice).
 * 4. `turn.ts` gives a handler its context; `ended.ts` says what came of it, also where it threw (`retry.ts`).
 * 5. `member.ts` keeps one member's turns that have ended and are not committed; `commit.ts` makes one `Commit` of
 *    those
 *    of many members, when `writer.ts` asks. The store carries it out, and its verdicts come back to `pool-members.ts`.
 * 6. `loading.ts` (spawning, versions of state), `idle.ts` (who is awake), `rotation.ts` (the mail tables).
 *
 * The fence of the pool, the version of each member's row and the rows of its mail decide in the end: a mistake here
 * costs a turn that is run again, never a message that is handled twice.
 */
import type { Address, Trace } from '../../../config/define/member';

export type { Address, Trace };

/** One row of mail. Times are epoch milliseconds by the database's clock. */
export interface Mail {
  /** Its stamp: of the sequence that orders all changes of an id, so a removal is older or newer. Unique. */
  readonly id: number;
  /** The id of the member that it is for. */
  readonly member: string;
  /** The message as JSON. */
  readonly json: string;
  /** Bytes of that JSON. */
  readonly bytes: number;
  /** The sender: a process, or the member whose handler it was. Its messages to one member keep their order. */
  readonly from: string;
  /**
   * The sender's number: it grows from message to message. Undefined: a handler has sent it, in a commit of its own,
   * and a row of a commit is there once.
   */
  readonly number?: number;
  /** The number of the message before it from this sender to this member; undefined: not known. */
  readonly previous?: number;
  /** Somebody waits for the reply. */
  readonly request?: { readonly id: string; readonly deadline: number; readonly client: string };
  /** The reply to a `send` goes there, as a message. */
  readonly replyTo?: Address;
  /** When its sender told it first. The same in each repetition. */
  readonly toldAt: number;
  /** When this row was written. */
  readonly storedAt: number;
  /** How often a handler has failed on it. */
  readonly attempts: number;
  /** It waits until then, after a failure. */
  readonly notBefore?: number;
  /** A request that has its answer already, from a row that came before it. */
  readonly answered?: boolean;
  readonly trace?: Trace;
}

/** A timer of a member, as it is stored. */
export interface Timer {
  /** Given by the handler, or made: one of a name is there at a time. */
  readonly name: string;
  /** The number of its setting: the one that replaces it has another. */
  readonly set: number;
  readonly at: number;
  readonly json: string;
  readonly attempts: number;
  readonly trace?: Trace;
}

/** A value that an operation has brought for `apply`. */
export interface Brought {
  readonly operation: string;
  readonly json: string;
  /** By this it is known: a value of the same time has been applied, or not. */
  readonly fetchedAt: number;
  /** The name of the codec that has encoded it. */
  readonly codec?: string;
}

/** A sender's numbers at one member: how far they have come. */
export interface Mark {
  /** The greatest number that was handled, or given up. */
  readonly last: number;
  /** Ranges of numbers below it that were waited for in vain, from first to last: those in them may still come. */
  readonly missing: readonly (readonly [number, number])[];
  /** When the last of them was handled. */
  readonly at: number;
}
export type Marks = ReadonlyMap<string, Mark>;

/** All that is stored of a member, as it is after some turn. Never changed: a turn makes a new one. */
export interface Image {
  /** Whether it is on the roster. */
  readonly present: boolean;
  /** Its state as JSON; null: none yet. */
  readonly state: string | null;
  /** The version of the definition that wrote it. */
  readonly stateVersion: number;
  readonly marks: Marks;
  /** By operation: when the value was fetched that `apply` has had last. */
  readonly applied: ReadonlyMap<string, number>;
  /**
   * Its last message or timer, where a value was applied since, which wakes nobody. Undefined: its row says when.
   */
  readonly wokenAt?: number | undefined;
  readonly timers: ReadonlyMap<string, Timer>;
  /** The number of the timer that was set last; 0: none was. */
  readonly sets: number;
}

export interface Failed {
  /** The errors of `longwatch` have these names too. */
  readonly type: 'HandlerFailed' | 'RequestTimedOut' | 'TooOld' | 'Removed';
  readonly message: string;
}

/** The one answer to a request. */
export interface Answer {
  readonly request: string;
  /** The client that is told of it. */
  readonly client: string;
  readonly answer: { readonly json: string } | { readonly error: Failed };
}

/** A message that a handler has sent. */
export interface Sent {
  readonly to: Address;
  readonly json: string;
  readonly replyTo?: Address;
  readonly trace?: Trace;
}

/** An entry for a buffer. */
export interface Pushed {
  readonly buffer: string;
  readonly json: string;
}

/** A statement of `ctx.write`. */
export interface Write {
  readonly sql: string;
  readonly values: readonly unknown[];
}

export interface Dead {
  readonly json: string;
  readonly from: string;
  readonly attempts: number;
  readonly error: string;
  /** The reply goes there, also when it is brought back. */
  readonly replyTo?: Address;
  readonly trace?: Trace;
}

/** A failed message is tried again from then on. */
export interface Again {
  readonly mail: number;
  readonly attempts: number;
  readonly notBefore: number;
  readonly error: string;
}
