/**
 * The definition of members with a life, as a user writes it: what a member's handler (`receive`) gets and may do, its
 * state, and the types that go from a definition to whoever sends to its members. A part of `defineTracker`
 * (`tracker.ts`); resolved by `config/resolve/member.ts`. The code runs in turns (`activities/tracker/mail`).
 */
import type { Logger } from 'pino';
import type { Transaction } from './transaction';
import type { Duration } from './types';

/** The caller's request id and W3C trace context: they go along with a message into the handler's logs. */
export interface Trace {
  readonly requestId?: string;
  readonly traceparent?: string;
}

/** A member of any tracker. */
export interface Address {
  readonly tracker: string;
  readonly id: string;
}

/** A timer as a handler sees it. */
export interface TimerView {
  readonly name: string;
  /** Epoch milliseconds by the database's clock. */
  readonly at: number;
  readonly message: unknown;
}

/** The context of one turn: a member's code knows this, and may do this. `S` is the member's state, `R` the reply. */
export interface MemberContext<S = unknown, R = unknown> {
  readonly tracker: string;
  /** The member's id. */
  readonly id: string;
  /**
   * The member's own copy: change it, or put another one there. It is kept when the turn ends well. Undefined: it has
   * none yet, and the definition has no `initial`.
   */
  state: S;
  /**
   * The same for each attempt of this message, and of no other: give it to an upstream as an idempotency key, since a
   * handler may run more than once.
   */
  readonly key: string;
  /** 1 in the first attempt. */
  readonly attempt: number;
  /** The caller's, where it gave one. */
  readonly trace: Trace | undefined;
  /** Fires when the turn has timed out or its shift ends. */
  readonly signal: AbortSignal;
  /** Bound to tracker, pool and member, to the caller's request id and to its trace context. */
  readonly log: Logger;
  /** Answers the request, or sends to who gave `replyTo`. If nobody waits, nothing happens. Once a turn. */
  reply(value: R): void;
  /**
   * Sent when the turn is committed, and only then.
   * @param to the id of a member of this tracker, or a member of any tracker
   */
  send<T extends Receiver = Receiver>(
    to: string | Address,
    message: MessageOf<T>,
    options?: { replyTo?: string | Address },
  ): void;
  /** This member gets the message then. A timer of the same name is replaced. @returns its name, for `cancel` */
  after(delay: Duration, message: unknown, options?: { name?: string }): string;
  /** @returns whether there was one of that name */
  cancel(name: string): boolean;
  timers(): TimerView[];
  /** An entry for a buffer. It is there if and only if the turn is committed. */
  push(buffer: string, entry: unknown): void;
  /**
   * A statement that runs in the transaction that commits the turn. If it fails, the message has failed. It may wait
   * 100 ms for a lock and take 1 s.
   */
  write(sql: string, values?: readonly unknown[]): void;
  /** As of `pg`, in the turn's own transaction: only where `receive` says `transaction: true`. */
  query: Transaction['query'];
  /** A handler may not wait for another member: it sends, with `replyTo`. @throws always */
  request(...args: readonly unknown[]): never;
}

/**
 * Handles one message, or a timer's. An error that it throws is that message's failure, and the state goes back. A
 * method's type, so that trackers of known messages go together with others.
 */
export type Handler<M = unknown, S = unknown, R = unknown> = {
  handle(message: M, context: MemberContext<S, R>): void | Promise<void>;
}['handle'];

/** How messages are handled. */
export interface ReceiveOptions {
  /**
   * A handler that takes longer is aborted (its AbortSignal fires), and its message has failed.
   * @default 5s, from 10ms to 1h
   */
  timeout?: Duration;
  /** Handlers at once in one pool. A member has one turn at a time. @default 50, from 1 to 10000 */
  concurrency?: number;
  /**
   * A message that has failed so often is a dead letter. A request is answered at its first failure.
   * @default 8, from 1 to 1000
   */
  attempts?: number;
  /** The wait after the first failure; it doubles with each. @default 1s, from 1ms to 1d */
  retryBase?: Duration;
  /** The longest wait. @default 1m, from 1ms to 30d */
  retryCap?: Duration;
  /** Messages that may wait for one member; past it its senders wait. @default 1000, from 1 to 1000000 */
  maxMail?: number;
  /** The same in bytes of JSON. @default 4194304, from 10000 to 1000000000 */
  maxMailBytes?: number;
  /**
   * A member that has had nothing to do for so long leaves the node's memory (`unload`).
   * @default 5m, from 1s to 30d
   */
  idle?: Duration;
}

/** A handler with options. */
export interface ReceiveDefinition<M = unknown, S = unknown, R = unknown> extends ReceiveOptions {
  /** Handles one message, or a timer's. */
  handle: Handler<M, S, R>;
  /**
   * Each message has a transaction of its own that is open while its handler runs (`context.query`): for who must read
   * first. One message at a time, slower, and as exact: state, mail and what the handler wrote commit together.
   * @default false
   */
  transaction?: boolean;
}

/** A method's type, so that code of a known state goes together with others. */
type Step = { step(state: unknown): unknown }['step'];

export interface StateDefinition<S = unknown> {
  /** The state of a new member: a value, or a function of its id. */
  initial?: S | ((id: string) => S);
  /** Raise it when the state has another shape. A node never loads a state that is newer than it knows. @default 1 */
  version?: number;
  /** By the version that a state has: makes the next version of it. */
  migrate?: Readonly<Record<number, Step>>;
  /** By the version that a state has: makes the version before of it, for a way back. */
  down?: Readonly<Record<number, Step>>;
}

/** The context of `unload`: a member that has left the node's memory. */
export interface UnloadContext {
  readonly tracker: string;
  readonly id: string;
  readonly log: Logger;
}

/** A turn's code for what an operation has brought. A method's type: a known state goes together with others. */
export type Apply = { apply(value: never, context: MemberContext): void | Promise<void> }['apply'];

/** The parts of a tracker's definition that give its members a life. */
export interface LifeDefinition<M = unknown, S = unknown, R = unknown> {
  /** Handles what is sent to a member: a function, or `{ handle, … }` with options. Without it nothing is sent. */
  receive?: Handler<M, S, R> | ReceiveDefinition<M, S, R>;
  /** The state of a member. */
  state?: StateDefinition<S>;
  /** Called in the first turn of a member after it was read, before its message: to make what is not in its state. */
  load?: { load(context: MemberContext<S>): void | Promise<void> }['load'];
  /**
   * Called when a member has left the node's memory, unless its node has died: it was idle, or its pool went to another
   * node, or into two.
   */
  unload?: (context: UnloadContext) => void | Promise<void>;
}

/** The types of a tracker's members. Nobody has this object: it is there for the types alone. */
export interface LifeTypes<M, S, R> {
  message: M;
  state: S;
  reply: R;
}

/** Whatever has the types of a tracker's members: `typeof rooms`. */
export interface Receiver {
  readonly life?: LifeTypes<unknown, unknown, unknown>;
}

type LifeOf<T extends Receiver> = NonNullable<T['life']>;
/** The messages that members of a tracker take: `MessageOf<typeof rooms>`. */
export type MessageOf<T extends Receiver> = LifeOf<T>['message'];
export type ReplyOf<T extends Receiver> = LifeOf<T>['reply'];
export type StateOf<T extends Receiver> = LifeOf<T>['state'];
