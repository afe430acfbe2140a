/**
 * The writer of a node's turns: one commit at a time, of all pools that have turns which have ended. It makes the
 * commit, is told what became of it, and brings that to the pools. The node's one connection for writing carries it
 * out, and asks `nextTransaction` whether turns or values are next.
 */
import { Room, type Commit, type Fence, type Handed, type Settled, type Verdict } from './commit';
import type { MemberLimits } from './constants';
import type { EndedTurn } from './ended';
import type { PoolMembers } from './pool-members';

/** A pool that somebody has locked is tried again after this. Milliseconds. */
const LATER_MS = 50;

export interface KeptPool {
  readonly members: PoolMembers;
  /** As it is now: a shift raises the roster's version when it has read what changed. */
  readonly fence: () => Pick<Fence, 'token' | 'rosterVersion'>;
}

/** The outcome of a commit, for one pool. */
export interface PoolSettled extends Settled {
  readonly pool: KeptPool;
}

interface UnderWay {
  readonly pools: readonly { readonly pool: KeptPool; readonly handed: Handed }[];
  /** It has one turn of one member, since a commit with others failed. */
  readonly alone?: { readonly pool: KeptPool; readonly id: string };
}

export class TurnWriter {
  private readonly pools = new Map<KeptPool, { notBefore: number }>();
  /** Members whose commit failed together with others': each has one of its own first. */
  private readonly alone: { pool: KeptPool; id: string }[] = [];
  private underWay: UnderWay | undefined;

  constructor(private readonly limits: MemberLimits) {}

  get isBusy(): boolean {
    return this.underWay !== undefined;
  }

  add(pool: KeptPool): void {
    this.pools.set(pool, { notBefore: 0 });
  }

  /** The pool is not kept any more; a commit that is under way says of it whatever it says. */
  remove(pool: KeptPool): void {
    this.pools.delete(pool);
  }

  /** Whether there is something to commit now. */
  hasTurns(now: number): boolean {
    return [...this.pools].some(([{ members }, { notBefore }]) => notBefore <= now && members.hasTurnsToCommit);
  }

  /** When the first of the pools with turns may be committed; Infinity: there are none. */
  get dueAt(): number {
    let at = Infinity;
    for (const [{ members }, { notBefore }] of this.pools) if (members.hasTurnsToCommit) at = Math.min(at, notBefore);
    return at;
  }

  /** The next commit; undefined: there is nothing to commit, or one is under way. */
  next(now: number): Commit | undefined {
    if (this.underWay) return undefined;
    this.underWay = this.nextAlone(now) ?? this.nextOfAll(now);
    return this.underWay && { pools: this.underWay.pools.map(({ handed }) => handed.part) };
  }

  /** The store has carried it out: a verdict for each of its pools. */
  answered(verdicts: readonly Verdict[], now: number): PoolSettled[] {
    const { pools, alone } = this.end();
    return pools.map(({ pool, handed }, at) => {
      const verdict = verdicts[at]!;
      if (alone && (verdict.verdict === 'later' || verdict.verdict === 'roster')) this.alone.unshift(alone);
      const settled = pool.members.settle(handed, verdict, now);
      const kept = this.pools.get(pool);
      if (kept && verdict.verdict !== 'done') kept.notBefore = now + LATER_MS;
      return { ...settled, pool };
    });
  }

  /** Nobody knows whether it was carried out. */
  lost(): void {
    for (const { pool, handed } of this.end().pools) pool.members.lost(handed);
  }

  /** It was not carried out, and that had nothing to do with what is in it: it may be tried again. */
  notMade(now: number): void {
    const { pools, alone } = this.end();
    if (alone) this.alone.unshift(alone);
    for (const { pool, handed } of pools) {
      pool.members.notCommitted(handed);
      const kept = this.pools.get(pool);
      if (kept) kept.notBefore = now + LATER_MS;
    }
  }

  /**
   * The store refuses what is in it, and it was not carried out: somebody's turn cannot be stored. Each of its
   * members is tried alone, so that it is the failure of one. @returns the turn that has failed, if it is known
   */
  refused(thrown: unknown, now: number): EndedTurn | undefined {
    const { pools, alone } = this.end();
    const members = pools.flatMap(({ pool, handed }) => handed.of.map((one) => ({ pool, one })));
    for (const { pool, handed } of pools) pool.members.notCommitted(handed);
    const [first] = members;
    if (alone && first) return first.pool.members.cannotStore(first.one.member.address.id, thrown, now);
    for (const { pool, one } of members) this.alone.push({ pool, id: one.member.address.id });
    return undefined;
  }

  private nextAlone(now: number): UnderWay | undefined {
    for (let first = this.alone.shift(); first; first = this.alone.shift()) {
      const { pool, id } = first;
      const kept = this.pools.get(pool);
      if (!kept) continue;
      if (kept.notBefore > now) {
        this.alone.unshift(first);
        return undefined;
      }
      const handed = pool.members.hand(pool.fence(), new Room({ ...this.limits, commitTurns: 1 }), id);
      if (handed) return { pools: [{ pool, handed }], alone: first };
    }
    return undefined;
  }

  private nextOfAll(now: number): UnderWay | undefined {
    // Members that wait for a commit of their own would make this one fail.
    if (this.alone.length > 0) return undefined;
    const room = new Room(this.limits);
    const pools: UnderWay['pools'][number][] = [];
    for (const [pool, kept] of [...this.pools]) {
      if (kept.notBefore > now) continue;
      const handed = pool.members.hand(pool.fence(), room);
      if (!handed) continue;
      pools.push({ pool, handed });
      // Behind the others, the next time that there is no room for all.
      this.pools.delete(pool);
      this.pools.set(pool, kept);
      if (room.isUsed) break;
    }
    return pools.length > 0 ? { pools } : undefined;
  }

  private end(): UnderWay {
    const { underWay } = this;
    if (!underWay) throw new Error('no commit of turns is under way');
    this.underWay = undefined;
    return underWay;
  }
}

/**
 * Says which transaction is next on a node's one connection for writing. Turns go at once; where both wait they take
 * turns, so that neither keeps the other out.
 */
export function nextTransaction(
  turnsWait: boolean,
  valuesWait: boolean,
  last: 'turns' | 'values',
): 'turns' | 'values' | undefined {
  if (turnsWait && valuesWait) return last === 'turns' ? 'values' : 'turns';
  if (turnsWait) return 'turns';
  return valuesWait ? 'values' : undefined;
}

/** Rows of values in one transaction. @param most where no turn waits */
export const valueRows = (turnsWait: boolean, most: number, { valueRows: cut }: MemberLimits): number =>
  turnsWait ? Math.min(most, cut) : most;
