/**
 * What a node offers to whoever spends from an upstream's limits: the ring before it starts a run, buffers, sweeps,
 * durable activities, and the HTTP client for each request (`../http.ts`). `node/` has the one that stands on the
 * shared ledger. Nothing here waits: a reservation is there at once, or the bucket that has none is named, with a line
 * in which one may wait.
 *
 * A run goes so: `reserve` (for all requests that the run usually makes, from all buckets or from none), then the code
 * in `runWith`; each request of it draws a `Spend`, asks `mayStillSend` right before its bytes leave and settles it with
 * the answer; in the end `Reservation.end` gives back what was not drawn.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Class, Shares } from './classes';
import type { AnswerHead, Format, LimitReader } from './headers';
import type { Limit } from './limit';
import type { StoredMember } from './member';

/** An upstream with limits, its options resolved. Defining it again under its name changes it while it runs. */
export interface LimitedUpstream {
  readonly name: string;
  readonly limits: readonly UpstreamLimit[];
  readonly shares?: Shares;
}

export interface UpstreamLimit {
  readonly name: string;
  readonly rule: Limit;
  /**
   * `shared`: every node may spend from a bucket of it, which is in the ledger. `member`: only the shift that keeps the
   * member does, from its own purse; a use without a purse takes the bucket for a shared one.
   */
  readonly scope: 'shared' | 'member';
  /**
   * The key of the bucket that a request spends from; undefined: the limit does not concern it. A header that it asks
   * for is the one that the last answer to the same `by` had: until there is one, requests go one at a time.
   */
  key(facts: KeyFacts): string | undefined;
  /** The key holds a secret: it is stored and shown as a hash. */
  readonly secret: boolean;
  /** Tokens that an answer cost; undefined: what the rule's greatest cost says. */
  cost(answer: Answered): number | undefined;
  /** How an answer tells what is left; undefined: whichever format finds something; null: it tells nothing. */
  readonly format?: Format | LimitReader | null;
}

export interface KeyFacts {
  /** The member's id, the entry's key; undefined where there is none. */
  readonly id: string | undefined;
  /** What the user's code handed along: the member's data, an activity's input. */
  readonly data: unknown;
  /** The name of the address that this node sends from (`--egress`). */
  readonly address: string;
  /** By its name in lower case. */
  header(name: string): string | undefined;
}

/** An answer as a limit sees it. */
export interface Answered extends AnswerHead {
  /** The request: what a cost may depend on. */
  readonly request: { readonly method: string; readonly path: string };
  /** Milliseconds for which it asks to be left alone; undefined: it is not a refusal. */
  readonly holdMs?: number | undefined;
}

/** Who spends, and for whom. */
export interface Use {
  readonly class: Class;
  /** Whose code it is (`tracker/operation`, `buffer/orders`): costs and keys from headers are learned by it. */
  readonly by: string;
  readonly id?: string | undefined;
  readonly data?: unknown;
  /** The shift's own buckets of its members, and the member's slot in it. */
  readonly purse?: Purse | undefined;
  readonly slot?: number;
}

export interface Spender {
  /**
   * Takes what a run of this use usually needs, from every bucket that it spends from, or from none.
   * @param requests of the run. @default what its runs have made lately, one at first
   */
  reserve(upstream: string, use: Use, requests?: number): Reservation | Shortage;
  /** What a shift keeps of its members, for limits of scope `member`. @param slots that it has at most */
  purse(slots: number): Purse;
}

export interface Reservation {
  readonly isShort: false;
  /** For the next request of the run: one of those that were taken, else one more, if there is one. */
  draw(): Spend | Shortage;
  /** The run is over: what was not drawn goes back. */
  end(): void;
}

/** What one request may cost, in each of its buckets. Exactly one of `settle`, `lose` and `release` ends it. */
export interface Spend {
  readonly isShort: false;
  /** Asked in the last moment before the bytes leave: the process may have been frozen since. If not: `release`. */
  mayStillSend(): boolean;
  settle(answer: Answered): void;
  /** No answer came, and may never: it counts as the greatest cost. */
  lose(): void;
  /** It was never sent. */
  release(): void;
}

/** The bucket that has nothing. */
export interface Shortage {
  readonly isShort: true;
  readonly upstream: string;
  readonly limit: string;
  /** For people: a hash where the key is a secret. */
  readonly key: string;
  /** An upstream, or a person, closed it. */
  readonly isClosed: boolean;
  /** Milliseconds until it is worth asking again; Infinity: only its line knows. */
  readonly waitMs: number;
  /** Stands in the bucket's line. Answers how to leave it. Harmless where it stands there already. */
  join(waiter: Waiter): () => void;
}

/**
 * One that waits in a bucket's line: a loop for one or many of its members. Woken when the bucket may have something
 * for it, one after another, in the order of classes; whoever is woken is out of the line, reserves at once, and joins
 * again where it needs more.
 */
export interface Waiter {
  readonly class: Class;
  /** Requests that it could send now: the node's share of the bucket goes by them. */
  readonly requests: number;
  wake(): void;
}

/** A row of a member's bucket, as the flush stores it with the member's values. */
export interface PurseRow {
  slot: number;
  upstream: string;
  limit: string;
  /** The part of the key that is not the member: a group. */
  group: string;
  stored: StoredMember;
}

/** A shift's buckets of its members. */
export interface Purse {
  /** A member is taken over with its rows. `isClean`: its last keeper said that nothing of it was under way. */
  load(slot: number, rows: readonly Omit<PurseRow, 'slot'>[], isClean: boolean): void;
  /** The rows that have changed, of these slots or of all; then `flushed`. */
  harvest(slots?: Iterable<number>): PurseRow[];
  flushed(rows: readonly PurseRow[], isCommitted: boolean): void;
  /** Nothing of it is under way: the last store may call itself clean. */
  readonly isQuiet: boolean;
  /** Bytes of its arrays. */
  readonly bytes: number;
}

/** A run that is under way, for the requests that it makes. */
export interface Run {
  readonly spender: Spender;
  readonly use: Use;
  /** By upstream; one that the run was not expected to ask is added by its first request. */
  readonly reservations: Map<string, Reservation>;
}

/** Across copies of this package, for a config that is loaded from its source brings a second one. */
const RUNS = Symbol.for('longwatch.budget.runs');
const holder = globalThis as typeof globalThis & { [RUNS]?: AsyncLocalStorage<Run> };

/** Runs code whose requests draw on what was reserved for it, also after its first `await`. */
export function runWith<T>(run: Run, code: () => T): T {
  return (holder[RUNS] ??= new AsyncLocalStorage<Run>()).run(run, code);
}

/** The run whose code is running; undefined: none that has reserved anything. */
export function currentRun(): Run | undefined {
  return holder[RUNS]?.getStore();
}

/** Gives back what the run did not draw. */
export function endRun(run: Run): void {
  for (const reservation of run.reservations.values()) reservation.end();
}
