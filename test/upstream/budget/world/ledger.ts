/**
 * PostgreSQL of the simulated world: the bucket's row behind a connection that is slow, cut off or loses answers, on a
 * machine with a clock of its own, which may be replaced by another that lacks the last commits.
 */
import type { LedgerTime, Reckoned } from '../../../../activities/upstream/budget/ledger/clock';
import { advance, renew } from '../../../../activities/upstream/budget/ledger/statement';
import { newBucket, tokensOf, type Bucket } from '../../../../activities/upstream/budget/ledger/bucket';
import { close, closedFor, type Refusal } from '../../../../activities/upstream/budget/ledger/closing';
import { countsSince, outstanding, ownUsed } from '../../../../activities/upstream/budget/ledger/own';
import { endingAfter } from '../../../../activities/upstream/budget/ledger/ring';
import type { Grant, Renewal } from '../../../../activities/upstream/budget/ledger/messages';
import type { Limit } from '../../../../activities/upstream/budget/limit';
import type { Events } from './events';

interface Commit {
  at: number;
  row: string;
}

export class SimulatedLedger {
  bucket: Bucket;
  /** The machine's clock against true time. */
  clockOff = 0;
  private timeline = 1;
  private wroteAt: number | undefined;
  private readonly commits: Commit[] = [];
  statements = 0;

  constructor(
    private readonly events: Events,
    private readonly limit: Limit,
    private readonly keepsCommits: boolean,
  ) {
    this.bucket = newBucket(limit, events.now, '1');
  }

  /** How much time has really passed since the row was written. */
  private get trueTime(): Reckoned | undefined {
    if (this.wroteAt === undefined) return undefined;
    const at = this.bucket.at + this.events.now - this.wroteAt;
    return { era: this.bucket.era, least: at, most: at };
  }

  private timeFor(reckoned?: Reckoned): LedgerTime {
    return { now: this.events.now + this.clockOff, timeline: String(this.timeline), reckoned };
  }

  /** @param limit the rule as the node has it @param reckoned the bucket's time as the node knows it by now */
  renew(renewal: Renewal, limit = this.limit, reckoned?: Reckoned): Grant {
    this.statements++;
    this.checkHeld(renewal);
    // As it goes over the wire.
    const grant = renew(this.bucket, limit, JSON.parse(JSON.stringify(renewal)) as Renewal, this.timeFor(reckoned));
    this.check(renewal, grant, limit);
    this.commit();
    return grant;
  }

  close(refusal: Refusal, reckoned?: Reckoned): { closedFor: number; generation: number } {
    advance(this.bucket, this.limit, this.timeFor(reckoned));
    close(this.bucket, this.limit, refusal);
    this.commit();
    return { closedFor: closedFor(this.bucket), generation: this.bucket.closed.generation };
  }

  /** The most that the upstream may have counted of ours by now, as the account says. */
  covers(): number {
    // Spends that were lost before the limit was known are seen as others'.
    const copy = structuredClone(this.bucket);
    // The clock may have been set since.
    advance(copy, this.limit, this.timeFor(this.trueTime));
    const others = this.limit.tokens === undefined ? endingAfter(copy.others, countsSince(copy, this.limit)) : 0;
    return ownUsed(copy, this.limit) + outstanding(copy) + others;
  }

  /** Another machine goes on from the commits of a while ago. */
  failOver(lostSeconds: number, clockOff: number): void {
    this.timeline++;
    this.wroteAt = undefined;
    this.clockOff = clockOff;
    const { now } = this.events;
    while (this.commits.length > 1 && this.commits.at(-1)!.at > now - lostSeconds) this.commits.pop();
    const row = this.commits.at(-1)?.row;
    this.bucket = row === undefined ? newBucket(this.limit, this.timeFor().now, '1') : (JSON.parse(row) as Bucket);
  }

  private commit(): void {
    this.wroteAt = this.events.now;
    if (!this.keepsCommits) return;
    this.commits.push({ at: this.events.now, row: JSON.stringify(this.bucket) });
    // Commits of more than ten seconds are on the standby.
    while (this.commits.length > 2 && this.commits[1]!.at < this.events.now - 10) this.commits.shift();
  }

  /** A node holds no more than it was given. */
  private checkHeld({ node, epoch, seq, floor }: Renewal): void {
    const part = this.bucket.parts.find((one) => one.node === node && one.epoch === epoch);
    // Commits that were lost may have given it.
    if (this.timeline > 1 || !part || part.ended || seq <= part.seq || floor <= part.granted + 1e-6) return;
    throw new Error(`${node} holds ${floor} of its part, and was given ${part.granted}`);
  }

  /** Σ parts ≤ capacity, wherever something was granted. */
  private check(renewal: Renewal, grant: Grant, limit: Limit): void {
    if (grant.kind !== 'granted' || grant.granted <= renewal.floor + 1e-6 || this.bucket.felt) return;
    const tokens = tokensOf(this.bucket, limit);
    if (tokens === undefined) return;
    const held = ownUsed(this.bucket, limit) + outstanding(this.bucket);
    if (held > tokens * (1 - limit.headroom) + 1e-6 && held > tokens)
      throw new Error(`granted above capacity: ${held} of ${tokens} are spent or held`);
  }
}
