/** Helpers for the tests of members: mail, and a pool whose store is always there. */
import { Room, type Handed, type MemberPart } from '../../../activities/tracker/member/commit';
import { MEMBER, type MemberLimits } from '../../../activities/tracker/member/constants';
import { NOT_STORED, type Stored } from '../../../activities/tracker/member/member';
import { PoolMembers } from '../../../activities/tracker/member/pool-members';
import type { Turn } from '../../../activities/tracker/member/turn';
import type { Mail } from '../../../activities/tracker/member/types';

export const T0 = Date.UTC(2026, 10, 28);

let ids = 0;
export function mail({ message, ...rest }: Partial<Mail> & { message?: unknown } = {}): Mail {
  const json = JSON.stringify(message ?? 1);
  const common = { id: ++ids, member: 'a', from: 's', json, bytes: json.length, toldAt: T0, storedAt: T0, attempts: 0 };
  return { ...common, ...rest };
}

export function request(id: string, given: Partial<Mail> & { message?: unknown } = {}): Mail {
  return mail({ request: { id, client: 'c', deadline: T0 + 10_000 }, ...given });
}

/** A pool whose members are read as soon as they are asked for. */
export class TestPool {
  readonly pool: PoolMembers;
  readonly stored = new Map<string, Stored>();
  now = T0;

  constructor(readonly limits: MemberLimits = MEMBER) {
    this.pool = new PoolMembers('t', 0, limits);
  }

  read(...rows: Mail[]): void {
    this.pool.beginReading();
    this.pool.endReading(rows);
    this.load();
  }
  load(): void {
    for (const id of this.pool.takeLoads(100, this.now))
      this.pool.loaded(id, this.stored.get(id) ?? NOT_STORED, this.now);
  }
  /** The next turn, whose message must be this. */
  begin(message?: unknown): Turn {
    const turn = this.pool.next(this.now);
    if (!turn) throw new Error('nobody has a turn');
    if (message !== undefined) expect(turn.message).toEqual(message);
    return turn;
  }
  handle(work: (turn: Turn) => void = () => undefined): Turn {
    const turn = this.begin();
    work(turn);
    this.pool.ended(turn, this.now);
    return turn;
  }
  hand(): Handed {
    const handed = this.pool.hand({ token: 1, rosterVersion: 1 }, new Room(this.limits));
    if (!handed) throw new Error('there is nothing to commit');
    return handed;
  }
  commit(refused: { id: string; why: 'stale' | 'refused'; error?: string }[] = []): Handed {
    const handed = this.hand();
    this.pool.settle(handed, { verdict: 'done', refused }, this.now);
    this.load();
    return handed;
  }
}

export interface Counter {
  count: number;
}

/** A handler that counts. */
export function count({ context }: Turn): void {
  const state = (context.state ?? { count: 0 }) as Counter;
  context.state = { count: state.count + 1 };
}

/** The part that one member would have of the next commit. */
export function only(test: TestPool): MemberPart {
  const handed = test.hand();
  test.pool.notCommitted(handed);
  const { members } = handed.part;
  expect(members).toHaveLength(1);
  return members[0]!;
}
