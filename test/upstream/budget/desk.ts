/** A ledger of one bucket for tests of its single steps: messages in plain words, a clock that tests turn. */
import { newBucket, type Bucket } from '../../../activities/upstream/budget/ledger/bucket';
import type { Reckoned } from '../../../activities/upstream/budget/ledger/clock';
import type { Grant, Renewal, ToldHeader } from '../../../activities/upstream/budget/ledger/messages';
import { outstanding, ownUsed } from '../../../activities/upstream/budget/ledger/own';
import { advance, renew } from '../../../activities/upstream/budget/ledger/statement';
import { limitOf, type Limit } from '../../../activities/upstream/budget/limit';

export const START = 1_760_000_000;

export class Desk {
  readonly limit: Limit;
  bucket: Bucket;
  now = START;
  timeline = '1';
  /** The bucket's time as the node that asks knows it. */
  reckoned: Reckoned | undefined;
  private readonly seqs = new Map<string, number>();

  constructor(limit: Partial<Limit>) {
    this.limit = limitOf(limit);
    this.bucket = newBucket(this.limit, this.now, this.timeline);
  }

  /** Seconds later. */
  after(seconds: number): this {
    this.now += seconds;
    return this;
  }

  renew(node: string, renewal: Partial<Renewal> = {}): Grant {
    const epoch = renewal.epoch ?? 0;
    const seq = (this.seqs.get(`${node}/${epoch}`) ?? 0) + 1;
    this.seqs.set(`${node}/${epoch}`, seq);
    const settled = renewal.settled ?? 0;
    return renew(
      this.bucket,
      this.limit,
      {
        node,
        epoch,
        seq,
        settled,
        late: 0,
        floor: settled + (renewal.held ?? 0),
        held: 0,
        wants: 10,
        known: undefined,
        reported: 0,
        header: undefined,
        refused: false,
        mute: 0,
        slowest: 0,
        generation: 0,
        closedFor: 0,
        ended: [],
        ...renewal,
      },
      { now: this.now, timeline: this.timeline, reckoned: this.reckoned },
    );
  }

  /** Tokens of its part, as the ledger says. */
  granted(node: string, renewal: Partial<Renewal> = {}): number {
    const grant = this.renew(node, renewal);
    if (grant.kind !== 'granted') throw new Error(grant.kind);
    return grant.granted;
  }

  /** A header that has in it all that the ledger has counted as spent. */
  header(remaining: number, more: Partial<ToldHeader> = {}): ToldHeader {
    return { era: this.bucket.era, spent: this.bucket.spent, remaining, age: 0, ...more };
  }

  /** Spent and not back, by now. */
  get own(): number {
    advance(this.bucket, this.limit, { now: this.now, timeline: this.timeline });
    return ownUsed(this.bucket, this.limit);
  }

  get out(): number {
    return outstanding(this.bucket);
  }
}
