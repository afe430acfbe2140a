/** A process sends in order for each member. While a pool is full, one of all that wait for it asks for them. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { Sender, type Outcome } from '../../../activities/tracker/member/sender';

const { waitMs } = MEMBER;
let sender: Sender<string>;
let now: number;
/** Members whose names begin so are in a pool that is full, and in pool 0. */
let full: string;
/** Members whose own mailbox is full. */
let crowded: string[];
beforeEach(() => {
  sender = new Sender('s');
  now = 0;
  full = 'a';
  crowded = [];
});

const add = (...members: string[]) => members.forEach((member) => sender.add(member, '', 10, now));
const names = (count: number) => Array.from({ length: count }, (_, i) => `a${i}`);

/** Tells all that may be told now. @returns whom, with the numbers of the messages */
function tell(): string[] {
  const told: string[] = [];
  for (let batch = sender.next(now); batch; batch = sender.next(now)) {
    told.push(...batch.map(({ member, number }) => `${member} ${number}`));
    const isFull = (member: string): boolean => full !== '' && member.startsWith(full);
    const outcomes = batch.map(({ member }): Outcome =>
      isFull(member) || crowded.includes(member) ? 'wait' : 'taken',
    );
    const pools = batch.flatMap(({ member }, at) => (isFull(member) ? [[at, 0] as const] : []));
    sender.answered(outcomes, now, waitMs, new Map(pools));
  }
  return told;
}

test('each is told once that its pool is full; then one asks for all, the others go on, and in the end all do, in order', () => {
  add(...names(1_200), 'a0', 'b');
  const first = tell();
  expect(first).toHaveLength(1_201);
  // It stands behind one to the same member.
  expect(first).not.toContain('a0 1201');
  add('b');
  expect(tell()).toEqual(['b 1203']);
  now += waitMs;
  expect(tell()).toEqual(['a0 1', 'a0 1201']);
  for (let i = 0; i < 3; i++) {
    now += waitMs;
    expect(tell()).toEqual(['a0 1']);
  }
  now += waitMs;
  full = '';
  expect(tell()).toEqual([...names(1_200), 'a0'].map((name, i) => `${name} ${i + 1}`));
  expect(sender.isIdle).toBe(true);
});

test('where the one that asks is given up, the next one does', () => {
  add('a0', 'a1', 'a2');
  tell();
  expect(sender.takeBack(1)).toBe(true);
  now += waitMs;
  expect(tell()).toEqual(['a1 2']);
  now += waitMs;
  const [asking] = sender.next(now)!;
  expect(asking!.number).toBe(2);
  sender.answered(['refused'], now, waitMs);
  expect(tell()).toEqual(['a2 3']);
});

test('one that waits for its own mailbox by then keeps none of its pool back', () => {
  add('a0', 'a1', 'a0');
  tell();
  now += waitMs;
  full = '';
  crowded = ['a0'];
  expect(tell()).toEqual(['a0 1', 'a1 2']);
  now += waitMs;
  crowded = [];
  expect(tell()).toEqual(['a0 1', 'a0 3']);
});
