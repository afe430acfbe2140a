/** The ledger's statement: what a message changes, what a part becomes, what a node gets, what comes back. */
import fc from 'fast-check';
import { isForgettable, newBucket } from '../../../activities/upstream/budget/ledger/bucket';
import { advance } from '../../../activities/upstream/budget/ledger/statement';
import { spend } from '../../../activities/upstream/budget/ledger/own';
import { charge, emptyRing, endingAfter, regrid } from '../../../activities/upstream/budget/ledger/ring';
import { paceOf, waterFill } from '../../../activities/upstream/budget/ledger/share';
import { windowStart } from '../../../activities/upstream/budget/calendar';
import { FIGURES } from '../../../activities/upstream/budget/figures';
import { limitOf } from '../../../activities/upstream/budget/limit';
import { histories } from '../../support/simulate';
import { Desk, START } from './desk';

const floating = { tokens: 1_200, window: 60, greatestCost: 5 };

describe('messages', () => {
  test('one that is told twice, or comes after a later one, changes nothing', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.after(1).granted('a', { settled: 4 });
    const before = JSON.stringify(desk.bucket);
    expect(desk.renew('a', { seq: 2, settled: 4 })).toEqual({ kind: 'stale' });
    expect(desk.renew('a', { seq: 1, settled: 0 })).toEqual({ kind: 'stale' });
    expect(JSON.stringify(desk.bucket)).toBe(before);
    expect(desk.own).toBe(4);
  });

  test('what is spent is counted once, whatever messages are lost', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    // The second and third never arrive.
    desk.after(3).granted('a', { seq: 4, settled: 9 });
    expect(desk.own).toBe(9);
    expect(desk.bucket.spent).toBe(9);
  });

  test('what a node gives back is there for others at once', () => {
    const desk = new Desk({ tokens: 8, window: 60, greatestCost: 5 });
    expect(desk.granted('a')).toBe(5);
    expect(desk.granted('b')).toBe(0);
    desk.after(1).granted('a', { floor: 0, wants: 0 });
    expect(desk.granted('b')).toBe(5);
  });
});

describe('parts', () => {
  test('one that is not renewed counts as spent, and as late as a frozen process may send', () => {
    const desk = new Desk(floating);
    const has = desk.granted('a');
    desk.after(FIGURES.part).granted('b', { wants: 0 });
    expect(desk.out).toBe(has);
    desk.after(FIGURES.grace).granted('b', { wants: 0 });
    expect(desk.out).toBe(0);
    expect(desk.own).toBe(has);
    expect(desk.renew('a', { settled: 2 })).toEqual({ kind: 'ended' });
    // Back one window after the half minute, not before.
    desk.after(60 + 29);
    expect(desk.own).toBe(has);
    desk.after(2);
    expect(desk.own).toBe(0);
  });

  test('a node that comes back and tells what it really spent gets the rest taken out of the account, once', () => {
    const desk = new Desk(floating);
    const has = desk.granted('a');
    desk.after(6).granted('b', { wants: 0 });
    desk.granted('a', { epoch: 1, wants: 0, ended: [{ epoch: 0, settled: 5 }] });
    expect(desk.own).toBe(5);
    desk.granted('a', { epoch: 1, wants: 0, ended: [{ epoch: 0, settled: 0 }] });
    expect(desk.own).toBe(5);
    // The count that headers are compared with is never lowered.
    expect(desk.bucket.spent).toBe(has);
  });

  test.each([6, 3])(
    'what answers cost beyond the grant of a part that is over is counted, once; told after %d s',
    (s) => {
      const desk = new Desk(floating);
      const has = desk.granted('a');
      desk.after(s);
      for (let i = 0; i < 2; i++) desk.granted('a', { epoch: 1, wants: 0, ended: [{ epoch: 0, settled: has + 7 }] });
      expect(desk.own).toBe(has + 7);
      expect(desk.out).toBe(0);
    },
  );

  test('a part of which the node says that it is over is not waited for', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.after(3).granted('a', { epoch: 1, wants: 0, ended: [{ epoch: 0, settled: 2 }] });
    expect([desk.own, desk.out]).toEqual([2, 0]);
  });

  test('a request without an answer is charged half a minute later', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.after(1).granted('a', { settled: 10, late: 5, wants: 0 });
    desk.after(61);
    expect(desk.own).toBe(5);
    desk.after(30);
    expect(desk.own).toBe(0);
  });

  test('nothing of a bucket that is at rest is kept', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.after(1).granted('a', { settled: 10, wants: 0 });
    desk.after(FIGURES.remembered + 200);
    advance(desk.bucket, desk.limit, desk);
    expect(isForgettable(desk.bucket, desk.bucket.at)).toBe(false);
    desk.granted('b', { wants: 0 });
    desk.after(FIGURES.remembered + 1);
    advance(desk.bucket, desk.limit, desk);
    desk.bucket.parts = [];
    expect(isForgettable(desk.bucket, desk.bucket.at)).toBe(true);
    expect(desk.bucket.own.tokens).toEqual([]);
  });
});

describe('what a node gets', () => {
  test('a second and a half of what it wants, and the last request’s worth, which cannot be spent', () => {
    const desk = new Desk(floating);
    for (let i = 0; i < 10; i++) desk.after(1).granted('a', { wants: 4, floor: desk.out });
    expect(desk.granted('a', { wants: 4, floor: desk.out })).toBeCloseTo(1.5 * 4 + 5, 6);
  });

  test('nothing where it wants nothing, and no part of a request', () => {
    const desk = new Desk({ ...floating, tokens: 8 });
    expect(desk.granted('a', { wants: 0 })).toBe(0);
    expect(desk.granted('b')).toBe(5);
    expect(desk.granted('a')).toBe(0);
  });

  test('headroom of a small limit leaves room for one', () => {
    expect(new Desk({ tokens: 1, shape: 'concurrent', headroom: 0.02 }).granted('a')).toBe(1);
    expect(new Desk({ tokens: 1, window: 60, headroom: 0.02 }).renew('a')).toMatchObject({
      granted: expect.closeTo(1, 1) as number,
    });
  });

  test('of a limit that refuses everything at nothing left, the last token is never given', () => {
    const desk = new Desk({ tokens: 3, window: 60, closesAtEnd: true });
    for (let i = 0; i < 30; i++) desk.after(1).granted('a', { wants: 100, floor: desk.out });
    expect(desk.out).toBe(2);
  });

  test('with credit for some of those who wait, it is the turn of who has waited longest', () => {
    const desk = new Desk({ ...floating, tokens: 60 });
    for (const node of ['a', 'b', 'c', 'd', 'e', 'f']) desk.granted(node, { wants: 0 });
    for (const part of desk.bucket.parts) part.wants = 1;
    desk.bucket.parts[2]!.servedAt -= 3;
    desk.bucket.credit = 9;
    expect(desk.granted('a')).toBe(0);
    expect(desk.granted('c')).toBe(5);
    desk.bucket.credit = 9;
    expect(desk.granted('a')).toBe(5);
    expect(desk.granted('b')).toBe(0);
  });

  test('never above the limit, however many ask', () => {
    const desk = new Desk({ tokens: 23, window: 60, greatestCost: 5 });
    for (let i = 0; i < 700; i++) {
      desk.after(1 / 7).granted(`node ${i % 7}`, { wants: 50, floor: desk.bucket.parts[i % 7]?.granted ?? 0 });
      expect(desk.own + desk.out).toBeLessThanOrEqual(23);
    }
    expect(desk.out).toBeGreaterThan(18);
  });
});

describe('what comes back, by shape', () => {
  const spent = (limit: Parameters<typeof limitOf>[0]): Desk => {
    const desk = new Desk({ greatestCost: 5, ...limit });
    desk.granted('a');
    desk.granted('a', { settled: 12, wants: 0 });
    return desk;
  };

  test.each(['floating', 'fixed'] as const)('%s: one window after the end of its slot', (shape) => {
    const desk = spent({ tokens: 100, window: 60, shape });
    expect(desk.after(60).own).toBe(12);
    expect(desk.after(0.6).own).toBe(0);
  });

  test('leaky: a little each second', () => {
    const desk = spent({ tokens: 60, window: 60, shape: 'leaky' });
    expect(desk.after(5).own).toBeCloseTo(7, 6);
    expect(desk.after(8).own).toBe(0);
  });

  test('leaky: what may still arrive has not leaked before it can have', () => {
    const desk = new Desk({ tokens: 60, window: 60, shape: 'leaky', greatestCost: 5 });
    desk.granted('a');
    desk.granted('a', { settled: 10, late: 10, wants: 0 });
    expect(desk.after(29).own).toBe(10);
    expect(desk.after(6).own).toBeGreaterThan(4);
    expect(desk.after(10).own).toBe(0);
  });

  test('calendar: when its window is over by either clock', () => {
    const desk = spent({
      tokens: 100,
      window: 86_400,
      shape: 'calendar',
      windowStart: (at) => Math.floor(at / 86_400) * 86_400,
    });
    const midnight = Math.ceil(START / 86_400) * 86_400;
    expect(desk.after(midnight - START + 59).own).toBe(12);
    expect(desk.after(2).own).toBe(0);
  });

  test('calendar: what is left of a month is spread over what is left of it, however long it is', () => {
    const desk = new Desk({
      tokens: 1_000,
      window: 31 * 86_400,
      shape: 'calendar',
      windowStart: windowStart('month', 'UTC'),
    });
    desk.now = Date.UTC(2027, 1, 28, 23) / 1_000;
    advance(desk.bucket, desk.limit, desk);
    // The last hour of February.
    expect(paceOf(desk.bucket, desk.limit, 1_000)).toBeCloseTo(1_000 / 3_600, 6);
  });

  test('concurrent: with the answer; a place without an answer half a minute later', () => {
    const desk = new Desk({ tokens: 3, shape: 'concurrent' });
    expect(desk.granted('a', { wants: 2 })).toBe(2);
    expect(desk.granted('b', { wants: 5 })).toBe(1);
    desk.after(1).granted('a', { settled: 1, late: 1, floor: 1, wants: 0 });
    expect(desk.granted('b', { wants: 5, held: 1, floor: 1 })).toBe(2);
    expect(desk.after(31).own).toBe(0);
  });
});

test('no node sees more than a request of its own while others wait: fair shares by what each wants', () => {
  expect(waterFill(120, [1_000, 50, 10])).toEqual([60, 50, 10]);
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1e6, noNaN: true }),
      fc.array(fc.double({ min: 0, max: 1e5, noNaN: true }), { maxLength: 20 }),
      (capacity, wants) => {
        const shares = waterFill(capacity, wants);
        const sum = shares.reduce((a, b) => a + b, 0);
        expect(sum).toBeLessThanOrEqual(capacity + 1e-6);
        expect(sum).toBeGreaterThanOrEqual(
          Math.min(
            capacity,
            wants.reduce((a, b) => a + b, 0),
          ) - 1e-6,
        );
        shares.forEach((share, i) => expect(share).toBeLessThanOrEqual(wants[i]!));
        // Nobody got more than one who got less than he wants.
        const most = Math.max(0, ...shares);
        shares.forEach((share, i) => share < wants[i]! - 1e-6 && expect(share).toBeGreaterThanOrEqual(most - 1e-6));
      },
    ),
    histories(300),
  );
});

test.each([2, 3, 4])('%d places of a concurrent limit go round where there are five nodes', (places) => {
  const desk = new Desk({ tokens: places, shape: 'concurrent' });
  const had = new Set<string>();
  for (let second = 0; second < 60; second++) {
    desk.after(1);
    for (const node of ['a', 'b', 'c', 'd', 'e']) {
      const part = desk.bucket.parts.find((known) => known.node === node);
      const grant = desk.renew(node, { wants: 1, floor: Math.min(part?.granted ?? 0, part?.deficit ?? 1) });
      if (grant.kind === 'granted' && grant.granted > 0) had.add(node);
      // A place that is not this node's any more goes back with its next message.
      if (part && grant.kind === 'granted') part.deficit = grant.rate;
    }
    expect(desk.out).toBeLessThanOrEqual(places);
  }
  expect([...had].sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('nothing is granted of a bucket that is closed for a while, also where a header of long ago is all that is known', () => {
  const desk = new Desk({ tokens: 100, window: 60, greatestCost: 5, headroom: 0.2 });
  desk.granted('a', { wants: 0 });
  desk.granted('a', { wants: 0, header: desk.header(100) });
  spend(desk.bucket, desk.limit, 100);
  desk.after(20).bucket.closed.until = desk.now + 60;
  expect(desk.granted('a', { wants: 10 })).toBe(0);
});

test('a row survives its way through JSON', () => {
  const bucket = newBucket(limitOf(floating), START, '1');
  expect(JSON.parse(JSON.stringify(bucket))).toEqual(bucket);
});

test('slots of another width bring nothing back earlier', () => {
  const spends = fc.array(fc.tuple(fc.integer({ min: 0, max: 600 }), fc.integer({ min: 1, max: 9 })), {
    maxLength: 20,
  });
  const widths = fc.constantFrom(0.5, 2.5, 7.5, 30);
  fc.assert(
    fc.property(spends, widths, widths, fc.integer({ min: -10, max: 700 }), (all, from, to, since) => {
      const ring = emptyRing(from);
      for (const [at, tokens] of all) charge(ring, START + at, tokens);
      expect(endingAfter(regrid(ring, to), START + since)).toBeGreaterThanOrEqual(endingAfter(ring, START + since));
    }),
    histories(300),
  );
});
