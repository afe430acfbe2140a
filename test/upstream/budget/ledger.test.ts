/**
 * The ledger's statement, step by step: what a message changes, what a part becomes, what a header and a refusal say.
 */
import fc from 'fast-check';
import { isForgettable, newBucket } from '../../../activities/upstream/budget/ledger/bucket';
import { close, closedFor, open } from '../../../activities/upstream/budget/ledger/closing';
import { advance } from '../../../activities/upstream/budget/ledger/statement';
import { margin } from '../../../activities/upstream/budget/ledger/others';
import { charge, emptyRing, endingAfter, regrid } from '../../../activities/upstream/budget/ledger/ring';
import { available, paceOf, waterFill } from '../../../activities/upstream/budget/ledger/share';
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

describe('a number that is none', () => {
  test.each(['settled', 'floor', 'held', 'wants', 'late', 'slowest', 'mute'] as const)(
    '%s: the message is refused, and the row stays as it was',
    (field) => {
      const desk = new Desk(floating);
      desk.granted('a');
      const before = JSON.stringify(desk.bucket);
      expect(() => desk.renew('a', { floor: 0, [field]: NaN })).toThrow(new RegExp(`says ${field}: NaN`));
      expect(() => desk.renew('a', { floor: 0, [field]: -5 })).toThrow(TypeError);
      expect(JSON.stringify(desk.bucket)).toBe(before);
    },
  );

  test('in a header, or in a part that ended', () => {
    const desk = new Desk(floating);
    expect(() => desk.renew('a', { header: desk.header(NaN) })).toThrow(/says remaining: NaN/);
    expect(() => desk.renew('a', { ended: [{ epoch: 0, settled: NaN }] })).toThrow(TypeError);
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

describe('headers', () => {
  test('what was not surely counted in one is taken off, whatever was sent before it', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.after(1).granted('a', { settled: 20, wants: 0 });
    const old = desk.header(50);
    desk.after(1).granted('a', { settled: 40, wants: 0 });
    // 50 were left when 20 were surely counted; since then 20 more were spent.
    desk.after(1).granted('b', { header: old, wants: 0 });
    expect(available(desk.bucket, desk.limit, 1_200)).toBe(30);
  });

  test('what an ended part may still send is in no header, and what came back since is in none either', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.granted('a', { settled: 100, wants: 0 });
    const has = desk.granted('dead');
    desk.after(50).granted('b', { wants: 0 });
    desk.granted('b', { header: desk.header(500), wants: 0 });
    expect(available(desk.bucket, desk.limit, 1_200)).toBe(500 - has);
    // The hundred are a window old, and were surely still counted when the header came.
    desk.after(15).granted('b', { epoch: 1, wants: 0 });
    expect(available(desk.bucket, desk.limit, 1_200)).toBe(600 - has);
  });

  test('the one with most in it counts, and of two with the same the lower', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.after(1).granted('a', { settled: 20, wants: 0 });
    const seen = (remaining: number, spent: number): number => {
      desk.granted('a', { settled: 20, header: desk.header(remaining, { spent }), wants: 0 });
      return desk.bucket.header!.seen;
    };
    expect(seen(900, 0)).toBe(900);
    expect(seen(100, 20)).toBe(120);
    expect(seen(90, 0)).toBe(120);
    expect(seen(200, 20)).toBe(120);
    expect(seen(80, 20)).toBe(100);
  });

  test('one that is older than a window says nothing, also when it is told again', () => {
    const desk = new Desk(floating);
    desk.granted('a', { header: desk.header(0), wants: 0 });
    expect(desk.granted('a', { header: desk.header(0), wants: 100 })).toBe(0);
    desk.after(61);
    expect(desk.granted('a', { epoch: 1, header: desk.header(0, { age: 61 }), wants: 100 })).toBeGreaterThan(0);
  });

  test('a fixed window that tells no reset may have begun anew: with room in our own account, one request asks', () => {
    const desk = new Desk({ ...floating, shape: 'fixed' });
    const header = desk.header(3);
    expect(desk.granted('a', { header })).toBe(0);
    expect(desk.after(1).renew('a', { header: { ...header, age: 1 } })).toMatchObject({ granted: 0 });
    expect(desk.after(2).renew('a', { header: { ...header, age: 3 } })).toMatchObject({ granted: 5 });
    expect(desk.renew('b', { header: { ...header, age: 3 } })).toMatchObject({ granted: 0 });
  });

  test('one of before a calendar window turned says nothing, by either clock', () => {
    const desk = new Desk({
      ...floating,
      window: 86_400,
      shape: 'calendar',
      windowStart: (at) => Math.floor(at / 86_400) * 86_400,
    });
    const midnight = Math.ceil(START / 86_400) * 86_400;
    desk.now = midnight - 30;
    const header = desk.header(0);
    expect(desk.granted('a', { header })).toBe(0);
    desk.now = midnight + 61;
    expect(desk.granted('a', { epoch: 1, header: { ...header, age: 91 } })).toBe(5);
  });

  test('a leaky bucket leaks since it was told', () => {
    const desk = new Desk({ tokens: 60, window: 60, greatestCost: 5, shape: 'leaky' });
    const header = desk.header(0);
    expect(desk.granted('a', { header })).toBe(0);
    expect(desk.after(4).renew('a', { header: { ...header, age: 4 } })).toMatchObject({ granted: 0 });
    expect(desk.after(1.5).renew('a', { epoch: 1, header: { ...header, age: 5.5 } })).toMatchObject({ granted: 5 });
  });

  test('one that is older than a window says nothing of others either', () => {
    const desk = new Desk(floating);
    desk.granted('a', { wants: 0 });
    desk.after(61).granted('a', { epoch: 1, header: desk.header(0, { limit: 1_200, age: 61 }), wants: 0 });
    expect(desk.bucket.othersHold).toBe(0);
    expect(desk.bucket.header).toBeUndefined();
  });

  test('a window that only resets tell of: the longest of them, and right after it began anew the whole, so that no lie lasts', () => {
    const desk = new Desk({ ...floating, shape: 'fixed', window: undefined });
    const told = (reset: number): number => {
      desk.granted('a', { header: desk.header(500, { limit: 1_200, reset }), wants: 0 });
      return desk.bucket.told.window!;
    };
    expect(told(20)).toBe(21);
    desk.after(1);
    expect(told(19)).toBe(21);
    desk.after(21);
    expect(told(58)).toBe(61);
    // A lie, and the truth after the next beginning.
    desk.after(1);
    expect(told(1e9)).toBe(86_400);
    desk.after(1);
    expect(told(56)).toBe(86_400);
    desk.after(57);
    expect(told(59)).toBe(61);
  });

  test('they lower the limit that the user wrote, and never raise it', () => {
    const desk = new Desk(floating);
    desk.granted('a', { header: desk.header(300, { limit: 300 }) });
    expect(desk.bucket.told.tokens).toBe(300);
    desk.after(1).granted('a', { header: desk.header(50_000, { limit: 50_000 }), wants: 1e6 });
    for (let i = 0; i < 200; i++) desk.after(1).granted('a', { settled: desk.bucket.parts[0]!.granted, wants: 1e6 });
    expect(desk.own).toBeLessThanOrEqual(1_200);
  });

  test('with only the margin left, one request of all nodes may ask when the last header is old', () => {
    const desk = new Desk({ ...floating, tokens: 600, headroom: 0.05 });
    const header = desk.header(32);
    expect(desk.granted('a', { header })).toBe(0);
    desk.after(1);
    expect(desk.granted('a', { header: { ...header, age: 1 } })).toBe(0);
    desk.after(2);
    expect(desk.granted('a', { header: { ...header, age: 3 } })).toBe(5);
    expect(desk.granted('b', { header: { ...header, age: 3 } })).toBe(0);
  });
});

describe('others', () => {
  test('what they spend is taken from the pace, and what was there before the first look is no rate', () => {
    const desk = new Desk({ tokens: 600, window: 60, greatestCost: 2 });
    desk.granted('a', { header: desk.header(300, { limit: 600 }), wants: 0 });
    expect(desk.bucket.othersRate).toBe(0);
    desk.after(1).granted('a', { header: desk.header(300, { limit: 600, spent: 1 }), wants: 0 });
    expect(desk.bucket.othersRate).toBe(0);
    for (let i = 1; i <= 20; i++)
      desk.after(1).granted('a', { header: desk.header(300 - 4 * i, { limit: 600, spent: 1 + i }), wants: 0 });
    expect(desk.bucket.othersRate).toBeGreaterThan(2);
    expect(desk.bucket.othersRate).toBeLessThan(5);
  });

  test('two seconds of their rate are left to them, twice the spread of those, and one request', () => {
    const desk = new Desk(floating);
    expect(margin(desk.bucket, desk.limit)).toBe(0);
    desk.bucket.othersRate = 4;
    expect(margin(desk.bucket, desk.limit)).toBe(2 * 4 + 2 * Math.sqrt(2 * 2 * 4) + 5);
  });

  test('they are not measured where nobody asked for it', () => {
    const desk = new Desk({ tokens: 600, window: 60, others: false });
    for (let i = 0; i <= 20; i++)
      desk.after(1).granted('a', { header: desk.header(300 - 4 * i, { limit: 600 }), wants: 0 });
    expect(desk.bucket.othersRate).toBe(0);
  });
});

describe('limits that nobody told', () => {
  test('one request of all nodes until a header tells', () => {
    const desk = new Desk({ greatestCost: 5 });
    expect(desk.renew('a')).toMatchObject({ granted: 5, unknown: true });
    expect(desk.renew('b')).toMatchObject({ granted: 0, unknown: true });
    desk.after(1);
    expect(
      desk.renew('a', { settled: 2, header: desk.header(148, { limit: 150, window: 900 }), wants: 0 }),
    ).toMatchObject({ unknown: false });
    expect(desk.renew('b')).toMatchObject({ unknown: false });
  });

  test('with a limit but no window it is still one, and none while nothing is left', () => {
    const desk = new Desk({ greatestCost: 2 });
    desk.granted('a');
    desk.after(1).granted('a', { settled: 2, header: desk.header(1, { limit: 10, spent: 2 }) });
    expect(desk.after(1).renew('a', { settled: 2, floor: 2 })).toMatchObject({ unknown: true, granted: 2 });
    expect(desk.after(FIGURES.silenceMost).renew('a', { epoch: 1 })).toMatchObject({ granted: 2 });
  });

  test('no header and no number: it is felt for, faster until the first refusal, then cut once an episode', () => {
    const desk = new Desk({ greatestCost: 1 });
    let settled = 0;
    let mute = 0;
    const second = (refused = false): number => {
      const grant = desk.after(1).renew('a', { settled, mute, wants: 1e6, refused });
      if (grant.kind !== 'granted') throw new Error(grant.kind);
      mute += 1;
      settled = grant.granted;
      return desk.bucket.felt?.rate ?? 0;
    };
    for (let i = 0; i < 15; i++) second();
    const rate = second();
    expect(rate).toBeGreaterThan(8);
    second(true);
    const cut = desk.bucket.felt!.rate;
    expect(cut).toBeCloseTo(0.7 * rate, 5);
    second(true);
    expect(desk.bucket.felt!.rate).toBeCloseTo(cut, 5);
    for (let i = 0; i < 100; i++) second();
    const grown = desk.bucket.felt!.rate;
    expect(grown).toBeGreaterThan(cut * 1.05);
    expect(grown).toBeLessThan(cut * 1.5);
  });

  test('a leaky bucket that was felt for is full at most when a header tells', () => {
    const desk = new Desk({ shape: 'leaky', greatestCost: 1 });
    desk.granted('a', { mute: 3 });
    desk.after(1).granted('a', { settled: 5_000, mute: 3 });
    desk
      .after(1)
      .granted('a', { settled: 5_000, mute: 3, wants: 0, header: desk.header(10, { limit: 40, window: 20 }) });
    expect(desk.bucket.felt).toBeUndefined();
    expect(desk.own).toBeLessThanOrEqual(40);
  });

  test('a felt rate does not grow while nobody uses it', () => {
    const desk = new Desk({ greatestCost: 1 });
    desk.granted('a', { mute: 3, wants: 0 });
    for (let i = 0; i < 100; i++) desk.after(1).granted('a', { mute: 3, wants: 0 });
    expect(desk.bucket.felt!.rate).toBe(1);
  });

  test('refused, and no header says why: the limit is believed to be lower, and to grow', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.after(1).granted('a', { settled: 10 });
    desk.after(1).granted('a', { settled: 10, floor: 10, refused: true });
    const believed = desk.bucket.belief!.tokens;
    expect(believed).toBeLessThan(20);
    desk.after(60).granted('a', { epoch: 1 });
    expect(desk.bucket.belief!.tokens).toBeCloseTo(believed + 36, 0);
  });
});

test('refused at places: there are fewer of them, for every node', () => {
  const desk = new Desk({ tokens: 10, shape: 'concurrent' });
  expect(desk.renew('a', { wants: 20 })).toMatchObject({ granted: 10, rate: 10 });
  expect(desk.after(1).renew('a', { wants: 20, floor: 10, held: 10, refused: true })).toMatchObject({ rate: 7 });
  desk.after(1).granted('a', { wants: 20, floor: 5, held: 5 });
  expect(desk.renew('b', { wants: 20 })).toMatchObject({ rate: 3 });
});

describe('closed until', () => {
  const refusal = { for: 60, sentAgo: 1, answeredAgo: 0, generation: 0 };

  test('every node hears of it with its next grant', () => {
    const desk = new Desk(floating);
    close(desk.bucket, desk.limit, refusal);
    expect(desk.after(10).renew('a')).toMatchObject({ closedFor: 50 });
  });

  test('the answer to the request that was sent last decides, not the one that came last', () => {
    const desk = new Desk(floating);
    expect(close(desk.bucket, desk.limit, { ...refusal, for: 20, sentAgo: 0.1 })).toBe(true);
    expect(close(desk.bucket, desk.limit, { ...refusal, for: 500, sentAgo: 3 })).toBe(false);
    expect(closedFor(desk.bucket)).toBe(20);
    expect(close(desk.bucket, desk.limit, { ...refusal, for: 5, sentAgo: 0 })).toBe(true);
    expect(closedFor(desk.bucket)).toBe(5);
  });

  test('by hand it is opened, and answers to what was sent before close it no more', () => {
    const desk = new Desk(floating);
    close(desk.bucket, desk.limit, refusal);
    open(desk.bucket);
    expect(close(desk.bucket, desk.limit, { ...refusal, sentAgo: 0 })).toBe(false);
    expect(desk.renew('a')).toMatchObject({ closedFor: 0, generation: 1 });
    expect(close(desk.bucket, desk.limit, { ...refusal, sentAgo: 0, generation: 1 })).toBe(true);
  });

  test.each([
    [60, 31_536_000, 900],
    [3_600, 31_536_000, 7_200],
    [60, -5, 0],
    [60, NaN, 15],
    [60, Infinity, 900],
  ])('a window of %d s is closed for %d s at most %d', (window, seconds, most) => {
    const desk = new Desk({ ...floating, window });
    close(desk.bucket, desk.limit, { ...refusal, for: seconds });
    expect(closedFor(desk.bucket)).toBe(most);
  });
});

describe('commits that a fail-over lost', () => {
  test('what they may have granted is charged, what nodes hold is believed, and the clock goes on from where it was', () => {
    const desk = new Desk(floating);
    desk.granted('a', { wants: 0 });
    const row = JSON.stringify(desk.bucket);
    desk.after(2);
    const [a, dead] = [desk.granted('a'), desk.granted('dead')];
    expect(a + dead).toBeGreaterThan(0);
    desk.bucket = JSON.parse(row) as Desk['bucket'];
    desk.timeline = '2';
    desk.now -= 3_600;
    desk.granted('a', { seq: 9, settled: 3, floor: a });
    // Nothing of the dead node's is known, and all of it is covered.
    expect(desk.own + desk.out).toBeGreaterThanOrEqual(a + dead);
    const covered = desk.own;
    desk.after(59).granted('a', { epoch: 1, wants: 0 });
    expect(desk.own).toBeGreaterThanOrEqual(covered);
  });

  test('what a node gives back may be another one’s by now: it is charged, not given out', () => {
    const desk = new Desk(floating);
    const has = desk.granted('a');
    const row = JSON.stringify(desk.bucket);
    // Lost: it gave all of it back, and somebody got it.
    desk.after(1).granted('a', { floor: 0, wants: 0 });
    desk.bucket = JSON.parse(row) as Desk['bucket'];
    desk.timeline = '2';
    desk.granted('b', { wants: 0 });
    const covered = desk.own + desk.out;
    desk.granted('a', { seq: 9, floor: 0, wants: 0 });
    expect(has).toBeGreaterThan(0);
    expect(desk.own + desk.out).toBe(covered);
    expect(desk.out).toBe(0);
  });

  test('a header that was compared with a count that is gone is not heard', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    const row = JSON.stringify(desk.bucket);
    desk.after(1).granted('a', { settled: 20 });
    const header = desk.header(1_000);
    desk.bucket = JSON.parse(row) as Desk['bucket'];
    desk.timeline = '2';
    desk.granted('b', { header });
    expect(desk.bucket.header).toBeUndefined();
  });

  test('where no timeline tells, a node that knows more than the row does', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    const row = JSON.stringify(desk.bucket);
    desk.after(1).granted('a', { settled: 5 });
    const known = { era: desk.bucket.era, spent: desk.bucket.spent };
    desk.bucket = JSON.parse(row) as Desk['bucket'];
    desk.renew('a', { settled: 5, known });
    expect(desk.bucket.era).toBeGreaterThan(known.era);
  });

  test('the time of a bucket never goes back', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    desk.after(1).granted('a', { settled: 5 });
    desk.after(-30).granted('a', { settled: 9 });
    expect(desk.bucket.at).toBe(START + 1);
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

test('places of a concurrent limit go round where there are fewer than nodes', () => {
  const desk = new Desk({ tokens: 2, shape: 'concurrent' });
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
    expect(desk.out).toBeLessThanOrEqual(2);
  }
  expect([...had].sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
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
