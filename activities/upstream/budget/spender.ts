/**
 * The budget as a node offers it to those who spend from an upstream's limits: the ring before it starts a run,
 * buffers, sweeps, durable activities, and the HTTP client for each request (`../http.ts`). `node/` has the one that
 * stands on the shared ledger. Nothing here waits: a reservation is there at once, or the bucket that has none is
 * named, with a line in which one may wait.
 *
 * A run goes so: `reserve` (for all requests that the run usually makes, from all buckets or from none), then the code
 * in `spendingAs` (`../spending.ts`); each request of it draws a permit, which is told the answer; in the end
 * `Reservation.end` gives back what was not drawn.
 */
import type { Class, Shares } from './classes';
import type { Format, LimitReader } from './headers';
import type { Limit } from './limit';
import type { Permit, Replied } from '../spending';
import type { StoredMember } from './member-slots';

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
   * member does, from its own purse; a use of a member without a purse is refused, for nobody would add it up.
   */
  readonly scope: 'shared' | 'member';
  /**
   * The key of the bucket that a request spends from; undefined: the limit does not concern it. A header that it asks
   * for is the one that the last answer to the same `by` had: until there is one, requests go one at a time, and where
   * answers have none, the limit does not concern them. With the scope `member`, keys differ by `id` alone.
   */
  key(facts: KeyFacts): string | undefined;
  /** The key holds a secret: it is stored and shown as a hash. */
  readonly secret: boolean;
  /** Tokens that an answer cost; undefined: what the rule's greatest cost says. */
  cost(answer: Answered): number | undefined;
  /**
   * How an answer tells what is left; undefined: whichever format finds something; null: it tells nothing of this
   * limit.
   */
  readonly format?: Format | LimitReader | null;
  /**
   * Whether a refused answer is this limit's. @default a 420 is that of a limit that `closesAtEnd`; any other is that
   * of the other limits, but for those whose header says that there is something left
   */
  refuses?(answer: Answered): boolean;
}

export interface KeyFacts {
  /** The member's id, the entry's key; undefined where there is none. */
  readonly id: string | undefined;
  /** The name of the address that this node sends from (`--egress`). */
  readonly address: string;
  /** Before a run has sent anything: the last request of the same `by`. */
  readonly request: RequestLine;
  /** By its name in lower case, of the last answer; undefined: none yet, or it has none. */
  header(name: string): string | undefined;
}

/** A request, as far as a cost or a key may depend on it. */
export interface RequestLine {
  readonly method: string;
  readonly path: string;
}

/** An answer as a limit sees it. */
export interface Answered extends Replied {
  readonly request: RequestLine;
}

/** A use of an upstream: who spends, and for whom. */
export interface Use {
  readonly class: Class;
  /** The code that asks (`tracker/operation`, `buffer/orders`): costs and keys from headers are learned by it. */
  readonly by: string;
  readonly id?: string | undefined;
  /** The shift's own buckets of its members, and the member's slot in it. */
  readonly purse?: Purse | undefined;
  readonly slot?: number;
}

export interface Spender {
  /**
   * Takes what a run of this use usually needs, from every bucket that it spends from, or from none.
   * @param requests of the run. @default what its runs have made lately, one at first
   * @throws TypeError where the upstream is not defined here, or keeps a member's bucket at its shift and the use is
   *   not of that; and what a key function of the user's throws
   */
  reserve(upstream: string, use: Use, requests?: number): Reservation | Shortage;
  /**
   * The buckets that a shift keeps of its members, for limits of scope `member`.
   * @param slots that it has, or will soon
   */
  purse(slots: number): Purse;
  /** The shift is over. */
  release(purse: Purse): void;
}

export interface Reservation {
  readonly isShort: false;
  /** For the next request of the run: one of those that were taken, else one more, if there is one. */
  draw(request: RequestLine): Spend | Shortage;
  /** The run is over: what was not drawn goes back. */
  end(): void;
}

/** The tokens of one request, in each of its buckets. */
export interface Spend extends Permit {
  readonly isShort: false;
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
  /** Stands in the bucket's line, once for each call. Answers how to leave it. */
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
  upstream: string;
  limit: string;
  /** The key without the member: a group. A hash where it is a secret. */
  group: string;
  /** Seconds of the window that the slots are parts of. */
  window: number;
  stored: StoredMember;
  /** The upstream refused, and nobody asks for it before then: epoch seconds of the database. */
  closedUntil?: number | undefined;
}

/** A row that has changed, with the slot of its member. */
export interface ChangedRow extends PurseRow {
  slot: number;
}

/** A shift's buckets of its members. */
export interface Purse {
  /** A member is taken over with its rows. `isClean`: its last keeper said that nothing of it was under way. */
  load(slot: number, rows: readonly PurseRow[], isClean: boolean): void;
  /** The member has left; its slot may be another's. */
  leave(slot: number): void;
  /** The rows that have changed, so many at most; then `flushed`. */
  harvest(most: number): ChangedRow[];
  /** Also where there was nothing to store: a flush has passed the fence. */
  flushed(rows: readonly ChangedRow[], isCommitted: boolean): void;
  /**
   * The shift is over: nothing more is sent, whoever waits is let go, and requests that are still under way count as
   * spent. The store after it is a clean end.
   */
  end(): void;
  /** Everything is in the store. */
  readonly isStored: boolean;
  /** Bytes of its arrays. */
  readonly bytes: number;
}
