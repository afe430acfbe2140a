/** A limit whose rule is changed while it runs: what was spent by the rule of before counts by that of now. */
import { FIGURES } from '../../../../activities/upstream/budget/figures';
import type { Shape } from '../../../../activities/upstream/budget/limit';
import type { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import { FixedCount, FloatingCount, LeakyCount, type Count } from '../../../../examples/upstreams/counts';
import { Draws } from '../../../support/draws';
import { simulate } from '../../../support/simulate';
import { answer } from './kit';
import { ledger, limit, pass, renewAll, REQUEST, sharedOf, spenderOf, time, USE, waiterOf, wanted } from './memory';

const DAY = 86_400;

function change(spender: NodeSpender, rule: Parameters<typeof limit>[1]): void {
  spender.define({ name: 'up', limits: [limit('all', rule)] });
}

/** Requests that go out now, each answered. */
function send(spender: NodeSpender, most: number): number {
  for (let sent = 0; sent < most; sent++) {
    const run = spender.reserve('up', USE, 1);
    if (run.isShort) return sent;
    const spend = run.draw(REQUEST);
    run.end();
    if (spend.isShort) return sent;
    spend.report(answer());
  }
  return most;
}

/** Asks for more than there is, so many seconds long. */
function hammer(spender: NodeSpender, seconds: number): number {
  let sent = 0;
  for (let second = 0; second < seconds; second++) {
    sent += send(spender, 1_000);
    wanted(spender, 1, 1_000, 1);
  }
  return sent;
}

test('a window that is raised has slots of its own: the row is as small as one of that window', () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  hammer(spender, 10);
  change(spender, { tokens: 600_000, window: DAY });
  const before = sharedOf(spender, 'all').account.shown.settled;
  hammer(spender, 300);
  expect(sharedOf(spender, 'all').account.shown.settled).toBeGreaterThan(before);
  expect(ledger.get('all/one')!.own.tokens.length).toBeLessThan(2 * FIGURES.slots);
});

test('a window that is lowered has slots of its own: what was spent is back one window later', () => {
  const spender = spenderOf(limit('all', { tokens: 60, window: DAY, shape: 'fixed' }));
  hammer(spender, 3_600);
  change(spender, { tokens: 60, window: 60, shape: 'fixed' });
  pass(spender, FIGURES.late + 60 + 5);
  // All of it, again and again.
  expect(hammer(spender, 600)).toBeGreaterThan(6 * 60);
});

test('a full window that is a leaky bucket from now on is a full bucket, and not a bucket of two windows', () => {
  const spender = spenderOf(limit('all', { tokens: 60, window: 60 }));
  hammer(spender, 180);
  change(spender, { tokens: 60, window: 60, shape: 'leaky' });
  expect(hammer(spender, 60)).toBeGreaterThan(40);
});

const SHAPES = ['floating', 'fixed', 'leaky'] as const;

function countOf(shape: Shape, tokens: number, window: number, draws: Draws): Count {
  if (shape === 'leaky') return new LeakyCount(tokens, window, time.now);
  if (shape === 'fixed') return new FixedCount(tokens, window, time.now + draws.between(0, window));
  return new FloatingCount(tokens, window);
}

simulate(
  'a limit of another shape from now on: nothing above it, by an upstream that has counted so all the time',
  (seed) => {
    const draws = new Draws(seed);
    time.now = 1_760_000_000 + draws.between(0, 1_000);
    ledger.clear();
    const window = draws.one([30, 60, 300]);
    const tokens = draws.whole(10, 200);
    const [before, after] = [draws.one(SHAPES), draws.one(SHAPES)];
    const spender = spenderOf(limit('all', { tokens, window, shape: before }));
    const upstream = countOf(after, tokens, window, draws);
    const changes = time.now + draws.between(0, 4 * window);
    const ends = changes + 4 * window;
    const demand = draws.one([0.3, 1, 5, 50]);
    let isChanged = false;
    let used = 0;
    let wants = 0;
    while (time.now < ends) {
      time.now += 1;
      wants = Math.min(demand * 20, wants + (demand * tokens) / window);
      if (!isChanged && time.now >= changes) {
        isChanged = true;
        change(spender, { tokens, window, shape: after });
      }
      for (; wants >= 1; wants--) {
        const fits = upstream.fits(time.now, 1);
        if (send(spender, 1) === 0) break;
        if (isChanged && !fits)
          throw new Error(`above the limit ${time.now - changes} s after ${before} became ${after}: ${seed}`);
        upstream.take(time.now, 1, true);
        if (time.now > changes + window + 5) used++;
      }
      const run = spender.reserve('up', USE, 1);
      const leave = run.isShort ? run.join(waiterOf({ requests: Math.ceil(wants) })) : undefined;
      if (!run.isShort) run.end();
      renewAll(spender);
      leave?.();
    }
    const could = Math.min(1, demand) * ((tokens / window) * (3 * window - 5));
    if (used < 0.6 * could - 15)
      throw new Error(`only ${used} of ${could} used after ${before} became ${after} (${tokens}/${window}): ${seed}`);
  },
  { histories: 80 },
);
