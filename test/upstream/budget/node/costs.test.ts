/** Costs that nobody expected: how far they are believed, and for how long. */
import { limitOf } from '../../../../activities/upstream/budget/limit';
import { verdictOn } from '../../../../activities/upstream/budget/node/verdicts';
import type { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import { answer } from './kit';
import { limit, pass, REQUEST, sent, spenderOf, USE, waiterOf } from './memory';
import * as members from './purse-kit';

const HALF_AN_HOUR = 1_800;
const DAY = 86_400;

/** Costs of the answers, one after the other; the last one stays. */
const costing = (...costs: number[]) => {
  let next = 0;
  return () => costs[Math.min(next++, costs.length - 1)]!;
};

/** Requests that are answered in so many seconds, by somebody who always wants one. */
function served(spender: NodeSpender, seconds: number, headers: Record<string, string> = {}): number {
  let count = 0;
  for (let second = 0; second < seconds; second++) {
    const run = spender.reserve('up', USE, 1);
    if (run.isShort) {
      const leave = run.join(waiterOf());
      pass(spender, 1);
      leave();
      continue;
    }
    sent(run.draw(REQUEST)).report(answer(200, headers));
    run.end();
    count++;
    pass(spender, 1);
  }
  return count;
}

test('a cost that was told once is reserved for half an hour at most: a day’s bucket goes on with what it has', () => {
  const spender = spenderOf(limit('all', { tokens: 1_000, window: DAY }, { cost: costing(900, 1) }));
  expect(served(spender, 30)).toBe(1);
  pass(spender, HALF_AN_HOUR);
  expect(served(spender, HALF_AN_HOUR)).toBeGreaterThan(10);
});

test('a cost that is told again and again stays reserved', () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }, { cost: () => 200 }));
  expect(served(spender, HALF_AN_HOUR + 120)).toBeGreaterThan(60);
  const [bucket] = [...spender.shared];
  expect(bucket!.limit.rule.greatestCost).toBe(200);
});

test('of a member’s bucket too', () => {
  const { clock, loaded, take } = members;
  const spender = members.spenderOf({
    rule: limitOf({ tokens: 100, window: DAY, greatestCost: 1 }),
    key: ({ id }) => id,
    cost: costing(80, 1),
  });
  const purse = loaded(spender, 1);
  const one = (): boolean => {
    const spend = take(spender, purse, 0);
    if (!spend.isShort) spend.report(answer());
    purse.flushed(purse.harvest(10), true);
    return !spend.isShort;
  };
  const live = (seconds: number): void => {
    for (let i = 0; i < seconds; i++) {
      clock.now++;
      spender.beat();
      purse.flushed(purse.harvest(10), true);
    }
  };
  expect([one(), one()]).toEqual([true, false]);
  live(HALF_AN_HOUR);
  expect([one(), one(), one()]).toEqual([true, true, true]);
});

test('no answer has cost more than the whole limit: a leaky bucket is full, and not for a day', () => {
  const spender = spenderOf(limit('all', { tokens: 60, window: 60, shape: 'leaky' }, { cost: costing(100_000, 1) }));
  expect(served(spender, 30)).toBe(1);
  expect(served(spender, 300)).toBeGreaterThan(1);
});

test('a cost beyond all numbers spoils no account: what headers say is compared with it for ever', () => {
  const format = { format: 'x-ratelimit' as const, cost: costing(1e300, 1) };
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }, format));
  served(spender, 30);
  pass(spender, HALF_AN_HOUR);
  expect(served(spender, 120, { 'x-ratelimit-limit': '600', 'x-ratelimit-remaining': '500' })).toBeGreaterThan(60);
});

test.each([
  ['the config’s limit', { tokens: 600 }, {}, 600],
  ['the limit that the answer tells', {}, { 'x-ratelimit-limit': '150', 'x-ratelimit-remaining': '9' }, 150],
  ['a million, where nobody knows the limit', {}, {}, 1_000_000],
  ['the greatest cost, where the limit is less', { tokens: 2, greatestCost: 5 }, {}, 5],
])('it is believed up to %s', (_, rule, headers, most) => {
  const of = { rule: limitOf({ window: 60, ...rule }), format: 'x-ratelimit' as const };
  const cost = (tokens: number): number =>
    verdictOn(limit('all', {}, { ...of, cost: () => tokens }), { ...answer(200, headers), request: REQUEST }, 0).cost;
  expect([cost(most), cost(most + 1), cost(1e300), cost(1)]).toEqual([most, most, most, 1]);
});
