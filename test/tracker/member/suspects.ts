/** The strikes of a simulated node, counted and taken back as `turns/strikes.ts` does; suspects run one by one. */
import type { PoolMembers } from '../../../activities/tracker/member/pool-members';
import { ProcessEnded, type PoolStrikes } from '../../../activities/tracker/member/strikes';
import type { Turn } from '../../../activities/tracker/member/turn';
import type { Surroundings } from './surroundings';

interface Struck {
  readonly pool: number;
  readonly token: number;
  readonly members: PoolMembers;
  readonly strikes: PoolStrikes;
  readonly counting: Set<Turn>;
  readonly isPaused: boolean;
}

interface Node {
  in(ms: number, work: () => void): void;
  isKept(kept: Struck): boolean;
  go(): void;
}

export class Suspects {
  private readonly lane: (() => void)[] = [];

  constructor(
    private readonly world: Surroundings,
    private readonly node: Node,
  ) {}

  /** @param start runs its handler, and calls what it is given when that has come back, or has not begun */
  begin(kept: Struck, turn: Turn, start: (over: () => void) => void): void {
    const { strikes } = kept;
    if (!strikes.isCounted(turn)) return start(() => undefined);
    const count = (over: () => void): void => this.count(kept, turn, start, over);
    if (!strikes.isSuspect(turn)) return count(() => undefined);
    const next = (): void => {
      this.lane.shift();
      this.lane[0]?.();
    };
    this.lane.push(() => count(next));
    if (this.lane.length === 1) this.lane[0]!();
  }

  private count(kept: Struck, turn: Turn, start: (over: () => void) => void, over: () => void): void {
    const { draw, queue, store, limits } = this.world;
    const [{ id }, { key }] = [turn.member, turn.context];
    if (turn.isOver || !this.node.isKept(kept)) return over();
    if (kept.isPaused) {
      kept.members.giveBack(turn);
      return over();
    }
    const fate = draw.chance(this.world.faults()) ? draw.one(['never', 'lost'] as const) : 'made';
    kept.strikes.begins(turn);
    kept.counting.add(turn);
    let count: number | undefined;
    if (fate !== 'never') queue.in(1, () => (count = store.countStrike(kept, id, key)));
    this.node.in(draw.whole(2, 8), () => {
      kept.counting.delete(turn);
      const { what } = turn.entry;
      const isLate = what.kind === 'mail' && (what.mail.request?.deadline ?? Infinity) <= store.now();
      const isCounted = fate === 'made' && count !== undefined;
      const back = (): void => this.takeBack(kept, turn, over);
      if (turn.isOver) back();
      else if (isCounted && count! >= limits.strikes) {
        kept.members.failed(turn, new ProcessEnded(count!), store.now());
        kept.strikes.leaves(turn);
        over();
      } else if (!isCounted || isLate) {
        kept.members.readAgain(id, store.now());
        back();
      } else start(back);
      this.node.go();
    });
  }

  private takeBack(kept: Struck, turn: Turn, over: () => void): void {
    const { draw, queue, store } = this.world;
    const isLast = kept.strikes.leaves(turn);
    const { key } = turn.context;
    const { hasBegun } = turn;
    if (isLast) queue.in(1, () => (hasBegun ? store.deleteStrike(kept, key) : store.uncountStrike(kept, key)));
    this.node.in(draw.whole(1, 4), () => {
      if (isLast && hasBegun) kept.strikes.cleared(turn);
      over();
      this.node.go();
    });
  }
}
