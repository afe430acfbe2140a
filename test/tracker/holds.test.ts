/**
 * Holds of a node: the longest one in force counts, an operation's stays with it, a tracker's covers all of its own.
 */
import { NodeHolds } from '../../activities/tracker/shift/holds';
import type { HoldRow } from '../../activities/tracker/store/told';

test('nothing is held at first', () => {
  expect(new NodeHolds().until('t', 'a')).toBe(0);
});

test('an operation’s hold is for that operation of that tracker alone', () => {
  const holds = new NodeHolds();
  holds.hold('t', 'a', 1_000);
  expect(holds.until('t', 'a')).toBe(1_000);
  expect(holds.until('t', 'b')).toBe(0);
  expect(holds.until('other', 'a')).toBe(0);
});

test('a tracker’s hold is for all of its operations, and no other tracker’s', () => {
  const holds = new NodeHolds();
  holds.hold('t', undefined, 2_000);
  holds.hold('t', 'a', 1_000);
  expect(holds.until('t', 'a')).toBe(2_000);
  expect(holds.until('t', 'b')).toBe(2_000);
  expect(holds.until('other', 'b')).toBe(0);
});

test('a shorter hold does not end a longer one', () => {
  const holds = new NodeHolds();
  holds.hold('t', 'a', 5_000);
  holds.hold('t', 'a', 3_000);
  expect(holds.until('t', 'a')).toBe(5_000);
});

describe('shared by way of the database', () => {
  const row = (over: Partial<HoldRow>): HoldRow => ({
    tracker: 't',
    operation: 'a',
    until: 5_000,
    toldAt: 1_000,
    reason: '429',
    liftedAt: null,
    ...over,
  });

  test('what another node was told holds here too, and is not written again', () => {
    const holds = new NodeHolds();
    expect(holds.adopt(row({}))).toBe(false);
    expect(holds.until('t', 'a')).toBe(5_000);
    expect(holds.takeUnsaved()).toEqual([]);
    holds.hold('t', 'a', 4_000, { at: 2_000, reason: 'x' });
    expect(holds.takeUnsaved()).toEqual([]);
    holds.hold('t', 'a', 6_000, { at: 2_000, reason: 'x' });
    expect(holds.takeUnsaved()).toEqual([row({ until: 6_000, toldAt: 2_000, reason: 'x' })]);
    expect(holds.takeUnsaved()).toEqual([]);
  });

  test('what could not be saved is offered again', () => {
    const holds = new NodeHolds();
    holds.hold('t', undefined, 6_000, { at: 2_000, reason: 'x' });
    const rows = holds.takeUnsaved();
    expect(rows).toMatchObject([{ tracker: 't', operation: '', until: 6_000 }]);
    holds.putBack(rows);
    expect(holds.takeUnsaved()).toEqual(rows);
  });

  test('lifted before it could be saved: it is over, and is not offered to be saved', () => {
    const holds = new NodeHolds();
    holds.hold('t', 'a', 9_000, { at: 1_000, reason: 'x' });
    holds.adopt(row({ until: 0, toldAt: 0, liftedAt: 2_000 }));
    expect(holds.until('t', 'a')).toBe(0);
    expect(holds.takeUnsaved()).toEqual([]);
  });

  test('lifted: what was told before is over, what is told after holds', () => {
    const holds = new NodeHolds();
    holds.hold('t', 'a', 9_000, { at: 1_000, reason: 'x' });
    const watched = holds.watch('t', 'a');
    expect(holds.adopt(row({ until: 2_000, liftedAt: 2_000 }))).toBe(true);
    expect(watched()).toBe(0);
    expect(holds.liftedAt('t', 'a')).toBe(2_000);
    // It was told before, and came late.
    holds.adopt(row({ until: 9_000, toldAt: 1_500, liftedAt: 2_000 }));
    expect(watched()).toBe(0);
    expect(holds.takeUnsaved()).toEqual([]);
    holds.hold('t', 'a', 9_000, { at: 2_500, reason: 'x' });
    // The same lift, read again.
    expect(holds.adopt(row({ until: 2_000, liftedAt: 2_000 }))).toBe(false);
    expect(watched()).toBe(9_000);
  });

  test('lifted for the whole tracker: its operations too, and no other tracker’s', () => {
    const holds = new NodeHolds();
    for (const tracker of ['t', 'u']) holds.hold(tracker, 'a', 9_000, { at: 1_000, reason: 'x' });
    holds.hold('t', undefined, 9_000, { at: 1_000, reason: 'x' });
    expect(holds.adopt(row({ operation: '', until: 2_000, liftedAt: 2_000 }))).toBe(true);
    expect([holds.until('t', 'a'), holds.until('t', 'b'), holds.until('u', 'a')]).toEqual([0, 0, 9_000]);
    expect(holds.liftedAt('t', 'a')).toBe(2_000);
    expect([...holds.inForce(3_000)]).toEqual([{ tracker: 'u', operation: 'a', until: 9_000 }]);
  });
});

test('who is to be asked anew: one id, all ids, one operation, all of them', () => {
  const holds = new NodeHolds();
  expect(holds.askedAt('t', 'a', 'x')).toBe(0);
  expect(holds.askAnew('t', 'a', 'x', 5)).toBe(true);
  expect(holds.askAnew('t', 'a', 'x', 5)).toBe(false);
  expect([holds.askedAt('t', 'a', 'x'), holds.askedAt('t', 'a', 'y'), holds.askedAt('t', 'b', 'x')]).toEqual([5, 0, 0]);
  holds.askAnew('t', '', 'y', 6);
  expect([holds.askedAt('t', 'a', 'y'), holds.askedAt('t', 'b', 'y'), holds.askedAt('t', 'b', 'x')]).toEqual([6, 6, 0]);
  holds.askAnew('t', 'b', '', 7);
  expect([holds.askedAt('t', 'b', 'x'), holds.askedAt('t', 'a', 'x'), holds.askedAt('u', 'b', 'x')]).toEqual([7, 5, 0]);
});
