/** The ledger when things go wrong: commits that a fail-over lost, clocks that are set, messages that make no sense. */
import { close, closedFor, open } from '../../../activities/upstream/budget/ledger/closing';
import { newBucket } from '../../../activities/upstream/budget/ledger/bucket';
import { ownUsed } from '../../../activities/upstream/budget/ledger/own';
import { Desk, START } from './desk';

const floating = { tokens: 1_200, window: 60, greatestCost: 5 };

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

  test('a bucket that nobody used for long before does not wait for its window again; one that was just used does', () => {
    const own = (idle: number): number => {
      const desk = new Desk({ ...floating, window: 3_600 });
      for (let settled = 0; settled <= 1_000; settled += 20) desk.after(1).granted('a', { settled, wants: 40 });
      close(desk.bucket, desk.limit, { for: 3_000, sentAgo: 0, answeredAgo: 0, generation: 0 });
      desk.timeline = '2';
      desk.after(idle).granted('b', { wants: 0 });
      return closedFor(desk.bucket) > 0 ? desk.own : -desk.own;
    };
    expect(own(200)).toBeGreaterThanOrEqual(1_000);
    // Closed for less than an hour, and what commits that were lost may have granted.
    expect(own(86_400)).toBeLessThan(0);
    expect(own(86_400)).toBeGreaterThan(-200);
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

describe('rows that are lost while nodes run', () => {
  /** A node has spent so much, in parts that ended, and one that began anew knows it. */
  const spent = (tokens: number): { desk: Desk; known: { era: number; spent: number } } => {
    const desk = new Desk(floating);
    for (let settled = 0; settled <= tokens; settled += 20) desk.after(1).granted('a', { settled, wants: 40 });
    return { desk, known: { era: desk.bucket.era, spent: desk.bucket.spent } };
  };

  test('the row is deleted: what was spent counts on, whichever node renews first, and is charged once', () => {
    const { desk, known } = spent(1_000);
    desk.bucket = newBucket(desk.limit, desk.now, desk.timeline);
    const has = desk.granted('b', { known: { ...known, spent: known.spent - 20 } });
    expect(desk.own + has).toBeGreaterThanOrEqual(1_000);
    expect(desk.own + desk.out).toBeLessThanOrEqual(1_200);
    const own = desk.own;
    desk.granted('a', { epoch: 7, known, wants: 0 });
    expect(desk.own).toBe(own);
    // One window later it is back.
    expect(desk.after(100).own).toBe(0);
  });

  test('it is made anew on a machine whose clock is behind: no era is used twice', () => {
    const { desk, known } = spent(1_000);
    desk.now -= 3_600;
    desk.bucket = newBucket(desk.limit, desk.now, desk.timeline);
    const has = desk.granted('b', { known });
    expect(desk.own + has).toBeGreaterThanOrEqual(1_000);
    expect(desk.bucket.era).toBeGreaterThan(known.era);
  });

  test('a backup is restored in its place: all that was spent since counts', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    const row = JSON.stringify(desk.bucket);
    for (let settled = 0; settled <= 1_000; settled += 20) desk.after(1).granted('a', { settled, wants: 40 });
    const known = { era: desk.bucket.era, spent: desk.bucket.spent };
    desk.bucket = JSON.parse(row) as Desk['bucket'];
    const has = desk.granted('b', { known });
    expect(desk.own + has).toBeGreaterThanOrEqual(1_000);
  });

  test('nodes that have heard of openings hear of the next one too, and a closing that they know of holds', () => {
    const desk = new Desk(floating);
    for (let i = 0; i < 3; i++) open(desk.bucket);
    desk.granted('a', { generation: 3 });
    const known = { era: desk.bucket.era, spent: desk.bucket.spent };
    desk.bucket = newBucket(desk.limit, desk.now + 5, desk.timeline);
    desk.after(5);
    expect(desk.renew('a', { epoch: 1, known, generation: 3, closedFor: 60 })).toMatchObject({
      closedFor: 60,
      generation: 3,
    });
    // One that missed a notification comes first.
    desk.bucket = newBucket(desk.limit, desk.now, desk.timeline);
    desk.renew('b', { generation: 1 });
    expect(desk.renew('a', { epoch: 2, generation: 3, closedFor: 60 })).toMatchObject({ closedFor: 60, generation: 3 });
  });

  test('a backup of yesterday is restored: what was spent since counts from now on, and a closing holds', () => {
    const desk = new Desk(floating);
    desk.granted('a');
    const row = JSON.stringify(desk.bucket);
    desk.after(86_400);
    for (let settled = 0; settled <= 1_000; settled += 20) desk.after(1).granted('a', { settled, wants: 40 });
    const known = { era: desk.bucket.era, spent: desk.bucket.spent };
    desk.bucket = JSON.parse(row) as Desk['bucket'];
    const has = desk.granted('b', { known, closedFor: 50 });
    expect(desk.own + has).toBeGreaterThanOrEqual(1_000);
    expect(closedFor(desk.bucket)).toBe(50);
    // Parts that the lost rows knew hold for a while yet: what is given back may be another one's.
    expect(desk.bucket.learningUntil).toBeGreaterThan(desk.now);
    expect(desk.after(100).own).toBe(0);
  });

  test('a new node comes first, which knows nothing: those who know more are heard all the same, each once', () => {
    const { desk, known } = spent(1_000);
    const row = JSON.stringify(newBucket(desk.limit, START, '1'));
    desk.bucket = { ...(JSON.parse(row) as Desk['bucket']), era: known.era };
    delete desk.bucket.madeIn;
    // Restored to a moment, which begins another timeline.
    desk.timeline = '2';
    desk.granted('new', { wants: 0 });
    const before = desk.own;
    expect(before).toBeLessThan(700);
    desk.granted('b', { known: { ...known, spent: 600 }, wants: 0 });
    desk.granted('a', { epoch: 1, known, wants: 0 });
    const own = desk.own;
    expect(own).toBeGreaterThanOrEqual(1_000);
    expect(own).toBeCloseTo(Math.min(1_200, before + known.spent), 6);
    desk.granted('c', { known, wants: 0 });
    expect(desk.own).toBe(own);
  });

  test('a node that knows only the row of now tells nothing of what was before', () => {
    const { desk, known } = spent(300);
    desk.bucket = newBucket(desk.limit, desk.now, desk.timeline);
    const floor = desk.granted('new', { settled: 40 });
    const seen = { era: desk.bucket.era, spent: desk.bucket.spent };
    desk.granted('a', { epoch: 1, known, wants: 0 });
    const own = desk.own;
    desk.granted('new', { settled: 40, reported: 40, floor, known: seen, wants: 0 });
    expect(desk.own).toBe(own);
  });

  test('a part that the row does not know tells what was new in it, not all that it ever spent', () => {
    const desk = new Desk({ shape: 'leaky', tokens: 40, window: 20, greatestCost: 5 });
    desk.granted('a');
    for (let settled = 0; settled < 4_000; settled += 2) desk.after(1).granted('a', { settled, floor: settled + 5 });
    const known = { era: desk.bucket.era, spent: desk.bucket.spent };
    desk.bucket = newBucket(desk.limit, desk.now, desk.timeline);
    desk.after(1).granted('a', { settled: 4_000, reported: 3_998, floor: 4_005, known });
    expect(desk.own).toBeGreaterThanOrEqual(35);
    // Half a minute until it can no longer arrive, and the window in which it leaks.
    expect(desk.after(52).own).toBe(0);
  });
});

describe('a clock of the database that is set', () => {
  const used = (): Desk => {
    const desk = new Desk(floating);
    for (let settled = 0; settled <= 1_000; settled += 20) desk.after(1).granted('a', { settled, wants: 40 });
    return desk;
  };
  const reckoned = (desk: Desk, least: number, most: number): Desk['reckoned'] => {
    const { era, at } = desk.bucket;
    return { era, least: at + least, most: at + most };
  };

  test('forward: what comes back is what comes back in the time that has passed', () => {
    const desk = used();
    const { at } = desk.bucket;
    const before = desk.own;
    desk.reckoned = reckoned(desk, 0.9, 1.1);
    desk.after(3_600).granted('a', { settled: 1_000, floor: 1_000, wants: 0 });
    expect(desk.bucket.at).toBeCloseTo(at + 1.1, 6);
    expect(ownUsed(desk.bucket, desk.limit)).toBeGreaterThan(before - 50);
    // From there it goes on, also for one who knows nothing.
    desk.reckoned = undefined;
    desk.after(10).granted('b', { wants: 0 });
    expect(desk.bucket.at).toBeCloseTo(at + 11.1, 6);
  });

  test('back: time goes on all the same', () => {
    const desk = used();
    const { at } = desk.bucket;
    desk.reckoned = reckoned(desk, 59, 61);
    desk.after(-3_600).granted('a', { settled: 1_000, floor: 1_000, wants: 0 });
    expect(desk.bucket.at).toBeCloseTo(at + 59, 6);
    expect(ownUsed(desk.bucket, desk.limit)).toBeLessThan(100);
  });

  test('a node whose machine was suspended holds up nobody, and knows nothing of another row', () => {
    const desk = used();
    const early = reckoned(desk, 0, 1);
    desk.after(30).granted('b', { wants: 0 });
    const { at } = desk.bucket;
    desk.reckoned = early;
    desk.after(1).granted('a', { epoch: 1, wants: 0 });
    expect(desk.bucket.at).toBe(at);
    desk.bucket = newBucket(desk.limit, desk.now, desk.timeline);
    desk.bucket.era++;
    desk.after(1).granted('a', { epoch: 2, wants: 0 });
    expect(desk.bucket.at).toBe(desk.now);
  });

  test('time that the bucket missed while the machine of its only node was suspended is not caught up with', () => {
    const desk = used();
    const { era, at } = desk.bucket;
    desk.reckoned = { ...reckoned(desk, 1, 2)!, lag: 0, isDoubtful: true };
    desk.after(400).granted('a', { settled: 1_300, floor: 1_300, wants: 0 });
    expect(desk.bucket.at).toBeCloseTo(at + 2, 6);
    // One that heard of it before that knows how much time has passed, and that is not how old those spends are.
    desk.reckoned = { era, least: at + 401, most: at + 402, lag: 0 };
    desk.after(1).granted('b', { wants: 0 });
    expect(ownUsed(desk.bucket, desk.limit)).toBeGreaterThanOrEqual(300);
    desk.reckoned = undefined;
    desk.after(62).granted('b', { wants: 0 });
    expect(ownUsed(desk.bucket, desk.limit)).toBe(0);
  });

  test('nor where the clock of the database is set forward as well', () => {
    const desk = used();
    const { era, at } = desk.bucket;
    desk.reckoned = { ...reckoned(desk, 1, 2)!, lag: 0, isDoubtful: true };
    desk.after(400).granted('a', { settled: 1_300, floor: 1_300, wants: 0 });
    desk.reckoned = { era, least: at + 401, most: at + 402, lag: 0 };
    desk.after(101).granted('b', { wants: 0 });
    expect(ownUsed(desk.bucket, desk.limit)).toBeGreaterThanOrEqual(300);
  });

  test('the windows of a calendar are those of the clock', () => {
    const day = 86_400;
    const desk = new Desk({
      ...floating,
      shape: 'calendar',
      window: day,
      windowStart: (at) => Math.floor(at / day) * day,
    });
    desk.granted('a');
    desk.reckoned = reckoned(desk, 1, 1);
    desk.after(day).granted('a', { wants: 0 });
    expect(desk.bucket.at).toBe(START + day);
  });
});
