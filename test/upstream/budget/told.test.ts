/** The words of upstreams to the ledger: headers, the spends of others that these show, refusals, or nothing at all. */
import { margin } from '../../../activities/upstream/budget/ledger/others';
import { available } from '../../../activities/upstream/budget/ledger/share';
import { FIGURES } from '../../../activities/upstream/budget/figures';
import { Desk, START } from './desk';

const floating = { tokens: 1_200, window: 60, greatestCost: 5 };

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
