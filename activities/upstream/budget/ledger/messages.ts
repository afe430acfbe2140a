/**
 * The messages between a node and the ledger: a renewal, each second for each bucket that the node spends from, and
 * its answer. Counters are cumulative, so a message that is told twice, lost or late does no harm. Only durations
 * travel, never a time of somebody's own clock.
 */

/** How much of a bucket a node had seen spent: the ledger's count that it knew, in one era of the ledger. */
export interface Seen {
  /** Raised by the ledger when it has lost commits; what was said in another era is not compared. */
  era: number;
  /** A value of the ledger's count of spent tokens. */
  spent: number;
}

/** The words of an answer's headers on one bucket. Read by `headers.ts`, carried by the node's account. */
export interface Told {
  /** Tokens that the upstream says are left. */
  remaining: number;
  /** Tokens of a window, as the upstream says. */
  limit?: number;
  /** Seconds of a window. */
  window?: number;
  /** Seconds from the answer until the window begins anew. */
  reset?: number;
}

/** A header as a node tells it: with what surely was counted in it, and how old it is. */
export interface ToldHeader extends Told, Seen {
  /** Seconds since the answer came. */
  age: number;
}

export interface Renewal {
  /** The node, by a name that no other process and no earlier life of it has. */
  node: string;
  /** The number of the part: one that ended is never continued. */
  epoch: number;
  /** Counts the messages of an epoch. */
  seq: number;
  /** Tokens spent of this part so far. */
  settled: number;
  /** The part of `settled` that was given up without an answer, and may still arrive. */
  late: number;
  /** Its grant less what it gives back now: settled + held + kept. */
  floor: number;
  /** Reserved for requests under way. */
  held: number;
  /** Tokens a second that it could spend; of a concurrent limit, places that it could use. 0: nothing is ready. */
  wants: number;
  /** The ledger's last word that it heard, in whichever part: so the ledger notices that it lost commits. */
  known: Seen | undefined;
  /** Tokens of `settled` that the ledger had heard of when it said that: what it knew is not told twice. */
  reported: number;
  /** The ledger's generation, and for how many seconds it takes the bucket for closed: a lost row has neither. */
  generation: number;
  closedFor: number;
  header: ToldHeader | undefined;
  /** An upstream refused a request of this part since the last message, and no header said why. */
  refused: boolean;
  /** Answers of this part in which no header told of the limit. */
  mute: number;
  /** Seconds that the slowest answer since the last message took. */
  slowest: number;
  /** The true spends of parts that had ended, now that all of their requests are back. */
  ended: { epoch: number; settled: number }[];
}

/**
 * A message with a number that is none would stay in the row of the bucket and stop it for every node.
 * @throws TypeError naming the field
 */
export function checkRenewal(renewal: Renewal): void {
  const { settled, late, floor, held, wants, mute, slowest, seq, epoch, header, known, ended } = renewal;
  const { generation, closedFor, reported } = renewal;
  const counts = { settled, late, floor, held, wants, mute, slowest, seq, epoch, generation, closedFor, reported };
  const numbers = { ...counts, ...header, ...known };
  for (const [field, value] of Object.entries(numbers))
    if (value !== undefined && !(Number.isFinite(value) && value >= -1e-6))
      throw new TypeError(`a renewal of ${renewal.node} says ${field}: ${String(value)}; it is not written`);
  for (const part of ended)
    if (!Number.isFinite(part.settled))
      throw new TypeError(`a renewal of ${renewal.node} ends a part with ${part.settled}`);
}

export type Grant =
  | {
      kind: 'granted';
      /** Tokens of this part from its beginning on. */
      granted: number;
      /** Seconds that it may be spent from the moment at which the node *asked*. */
      lasts: number;
      /** The ledger's count of spent tokens. */
      seen: Seen;
      /** The bucket's time, and its lag: the node reckons on from it. */
      at: number;
      lag: number;
      /** Tokens a second that are this node's: its pace; its places of a concurrent limit. */
      rate: number;
      /** Tokens that must be in hand for one request: the most it can cost. */
      reserve: number;
      /** Seconds for which nobody may send; 0: open. */
      closedFor: number;
      /** Raised by `budget open`: answers to requests that were sent under an older one close nothing. */
      generation: number;
      /** The limit is not known yet: tell a header at once. */
      unknown: boolean;
    }
  /** A message that came after a later one of the same part. */
  | { kind: 'stale' }
  /** The part has ended: begin another one. */
  | { kind: 'ended' };
