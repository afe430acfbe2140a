/** The writer of turns: one commit at a time, of all pools, and what an error of one means for its members. */
import type { Commit, Verdict } from '../../../activities/tracker/member/commit';
import { MEMBER, type MemberLimits } from '../../../activities/tracker/member/constants';
import { TurnWriter, type KeptPool } from '../../../activities/tracker/member/writer';
import { mail, T0, TestPool } from './kit';

const DONE: Verdict = { verdict: 'done', refused: [] };

class Node {
  readonly writer: TurnWriter;
  readonly tests: TestPool[] = [];
  readonly pools: KeptPool[] = [];

  constructor(pools: number, limits: MemberLimits = MEMBER) {
    this.writer = new TurnWriter(limits);
    for (let i = 0; i < pools; i++) {
      const test = new TestPool(limits);
      const pool = { members: test.pool, fence: () => ({ token: i, rosterVersion: 1 }) };
      this.tests.push(test);
      this.pools.push(pool);
      this.writer.add(pool);
    }
  }
  /** Members of a pool have handled a message. */
  handle(pool: number, ...members: string[]): void {
    this.tests[pool]!.read(...members.map((member) => mail({ member })));
    for (let left = members.length; left > 0; left--)
      this.tests[pool]!.handle(({ context }) => void (context.state = 1));
  }
  /** By pool, the members of the next commit. */
  next(now = T0): string[] | undefined {
    const commit: Commit | undefined = this.writer.next(now);
    return commit?.pools.map(
      ({ token, members }) => `${token}: ${members.map(({ id, mailGone }) => `${id}${mailGone.length}`).join()}`,
    );
  }
  answer(...verdicts: Verdict[]) {
    return this.writer.answered(verdicts, T0);
  }
}

test('one commit has the turns of all pools, and no other is begun before its answer', () => {
  const node = new Node(2);
  expect(node.writer.hasTurns(T0)).toBe(false);
  node.handle(0, 'a', 'b');
  node.handle(1, 'c');
  expect(node.writer.hasTurns(T0)).toBe(true);
  expect(node.next()).toEqual(['0: a1,b1', '1: c1']);
  node.handle(1, 'd');
  expect(node.writer.isBusy).toBe(true);
  expect(node.next()).toBeUndefined();
  const [first, second] = node.answer(DONE, { verdict: 'done', refused: [{ id: 'c', why: 'stale' }] });
  expect([first!.turns.length, first!.pool, second!.turns.length, second!.void]).toEqual([2, node.pools[0], 0, ['c']]);
  expect(node.next()).toEqual(['1: d1']);
});

test('where there is not room for all, each pool has its turn', () => {
  const node = new Node(3, { ...MEMBER, commitTurns: 2 });
  for (const pool of [0, 1, 2]) node.handle(pool, 'a', 'b', 'c');
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) {
    seen.push(...node.next()!);
    node.answer(DONE);
  }
  expect(seen.map((one) => one[0])).toEqual(['0', '1', '2']);
});

test('a pool that is locked, or must read its roster, waits a little, and keeps no other', () => {
  const node = new Node(2);
  node.handle(0, 'a');
  node.handle(1, 'b');
  node.next();
  node.answer({ verdict: 'later', refused: [] }, DONE);
  node.handle(1, 'c');
  expect(node.next(T0 + 49)).toEqual(['1: c1']);
  node.answer(DONE);
  expect(node.writer.hasTurns(T0 + 49)).toBe(false);
  expect(node.next(T0 + 50)).toEqual(['0: a1']);
});

test('a commit that was not made is made again after a little; one that was lost is not', () => {
  const node = new Node(1);
  node.handle(0, 'a');
  node.next();
  node.writer.notMade(T0);
  expect(node.next(T0)).toBeUndefined();
  expect(node.next(T0 + 50)).toEqual(['0: a1']);
  node.writer.lost();
  expect(node.next(T0 + 50)).toBeUndefined();
  expect(node.tests[0]!.pool.takeLoads(9, 0)).toEqual(['a']);
});

test('of a commit that the store refuses each member is tried alone, and one has failed', () => {
  const node = new Node(2);
  node.handle(0, 'a', 'poison');
  node.handle(1, 'b');
  node.next();
  expect(node.writer.refused(new Error('54000'), T0)).toBeUndefined();
  node.handle(1, 'c');
  const alone: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    const [only, ...more] = node.next()!;
    expect(more).toEqual([]);
    alone.push(only);
    if (only !== '0: poison1') node.answer(DONE);
    else
      expect(node.writer.refused(new Error('54000'), T0)).toMatchObject({ outcome: 'failed', error: 'Error: 54000' });
  }
  expect(alone).toEqual(['0: a1', '0: poison1', '1: b1']);
  // Its failure is stored as every other turn.
  expect(node.next()).toEqual(['0: poison0', '1: c1']);
});

test('while one that is tried alone waits for its pool, no commit has it together with others', () => {
  const node = new Node(2);
  node.handle(0, 'a', 'b');
  node.next();
  node.writer.refused(new Error('54000'), T0);
  expect(node.next()).toEqual(['0: a1']);
  node.answer({ verdict: 'later', refused: [] });
  node.handle(1, 'c');
  expect(node.next(T0 + 49)).toBeUndefined();
  expect(node.next(T0 + 50)).toEqual(['0: a1']);
  node.writer.notMade(T0);
  expect(node.next(T0 + 50)).toEqual(['0: a1']);
  node.answer(DONE);
  expect(node.next(T0 + 50)).toEqual(['0: b1']);
});

test('a pool that is not kept any more has no part, also of those that are tried alone', () => {
  const node = new Node(2);
  node.handle(0, 'a');
  node.handle(1, 'b');
  node.next();
  node.writer.refused(new Error('54000'), T0);
  node.writer.remove(node.pools[0]!);
  expect(node.next()).toEqual(['1: b1']);
});
