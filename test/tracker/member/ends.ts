/**
 * Holds what members promise where processes end: a message is at work in three of them at most, one keeper after
 * another, and is not a dead letter for that before it was. Told by the simulated world; asked by `promises.ts`.
 */
import type { MemberLimits } from '../../../activities/tracker/member/constants';
import type { Turn } from '../../../activities/tracker/member/turn';
import type { MemberStore } from './store';

/** A pool, as a node has it. */
export interface Keeper {
  readonly pool: number;
  readonly token: number;
  /** Handlers that are at work, and those that are about to be: their strike is being counted. */
  readonly running: ReadonlySet<Turn>;
  readonly counting: ReadonlySet<Turn>;
}

export class EndPromises {
  /** Handlers that are at work in each process, with their keepers. */
  private readonly working = new Map<object, Map<Turn, Keeper>>();
  /** By `ctx.key`: in so many processes in a row that have ended, it was at work. */
  private readonly ends = new Map<string, number>();
  /** By `ctx.key`: keepers that have not ended cleanly while it was at work, or was about to be. */
  private readonly blamed = new Map<string, number>();
  /** By member: so often it went to another pool. */
  private readonly moved = new Map<string, number>();
  /** The last keeper of each pool. */
  private readonly keepers = new Map<number, Keeper>();

  constructor(
    private readonly store: MemberStore,
    private readonly limits: MemberLimits,
    /** Strikes are counted. */
    private readonly isCounted: boolean,
  ) {}

  atWork(turn: Turn, process: object, keeper: Keeper): void {
    const working = this.working.get(process) ?? new Map<Turn, Keeper>();
    this.working.set(process, working.set(turn, keeper));
  }

  cameBack(turn: Turn, process: object): void {
    if (!this.working.get(process)?.delete(turn)) return;
    this.ends.delete(turn.context.key);
  }

  /** One that has lost the pool by then, or has not heard of a split, is not its keeper. */
  processEnded(process: object): void {
    const { pools } = this.store;
    const working = [...(this.working.get(process) ?? [])].filter(
      ([{ member }, { pool, token }]) => pools[pool]!.token === token && this.store.poolOf(member.id) === pool,
    );
    this.working.delete(process);
    for (const key of new Set(working.map(([{ context }]) => context.key))) {
      const ends = (this.ends.get(key) ?? 0) + 1;
      this.ends.set(key, ends);
      if (this.isCounted && ends > this.limits.strikes)
        throw new Error(`${key} was at work in ${ends} processes that ended`);
    }
  }

  /** Another keeper takes the pool. @param isClean the one before has let it go */
  taken(keeper: Keeper, isClean: boolean): void {
    const before = this.keepers.get(keeper.pool);
    this.keepers.set(keeper.pool, keeper);
    if (before && !isClean) this.blame(before);
  }

  /**
   * Members that are in another pool now may be at work where they were, until their keeper hears of it: that counts as
   * one that has ended.
   */
  split(made: number, ids: readonly string[]): void {
    for (const id of ids) if (this.store.poolOf(id) === made) this.moved.set(id, (this.moved.get(id) ?? 0) + 1);
  }

  private blame({ running, counting }: Keeper): void {
    for (const key of new Set([...running, ...counting].map(({ context }) => context.key)))
      this.blamed.set(key, (this.blamed.get(key) ?? 0) + 1);
  }

  /** It is a dead letter, for processes are said to have ended by it. The first may only have had it in its mail. */
  isDead(key: string, member: string): void {
    const ends = (this.blamed.get(key) ?? 0) + (this.moved.get(member) ?? 0);
    if (ends < this.limits.strikes - 1) throw new Error(`${key} is said to have ended processes: ${ends} have`);
  }
}
