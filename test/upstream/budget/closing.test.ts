/** Buckets that an upstream closed, or a person, as the ledger has them: who closes them, who opens them, how long. */
import { close, closedFor, closeUntil, followLimit, open } from '../../../activities/upstream/budget/ledger/closing';
import { Desk } from './desk';

const floating = { tokens: 1_200, window: 60, greatestCost: 5 };

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

  test('with its limit, it is opened with it, also where the opening had passed it by; by itself it stays so', () => {
    const word = (serial: number, seconds: number) => ({ serial, closedFor: seconds, reason: null });
    const desk = new Desk(floating);
    expect(followLimit(desk.bucket, word(5, 60), desk.now)).toBe(true);
    expect(desk.renew('a')).toMatchObject({ closedFor: 60, generation: 1 });
    expect(followLimit(desk.bucket, word(6, 0), desk.now)).toBe(false);
    expect(desk.renew('a')).toMatchObject({ closedFor: 0, generation: 2 });
    closeUntil(desk.bucket, desk.now + 60);
    followLimit(desk.bucket, word(7, 0), desk.now);
    expect(closedFor(desk.bucket)).toBe(60);
  });

  test.each([
    [20, 500, 20],
    [20, Infinity, 20],
    [604_800, 500_000, 500_000],
    [604_800, 31_536_000, 604_800],
  ])('with a maxHold of %d s, a refusal for %d s closes it for %d', (longestClosing, seconds, closed) => {
    const desk = new Desk({ ...floating, longestClosing });
    close(desk.bucket, desk.limit, { ...refusal, for: seconds });
    expect(closedFor(desk.bucket)).toBe(closed);
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
