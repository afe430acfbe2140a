/** Pools that could not be begun on a node: which of them it tells, and for how long. */
import { FailingPools } from '../../activities/tracker/shift/failing-pools';

const NOW = 1_000_000;
function kit() {
  const clock = { time: NOW, now: () => clock.time };
  const pools = new FailingPools(clock);
  const claim = (pool: number, attempt = 1) => ({ tracker: 't', pool, runId: 'r', shift: 1, attempt, node: 'n' });
  return { clock, pools, claim };
}

test('once is nothing to tell; a second time is, and so is a third attempt; one that was begun is not', () => {
  const { pools, claim } = kit();
  expect(pools.said()).toEqual({ pools: 0, example: null });
  expect(pools.failed(claim(1), 'why')).toBe(true);
  expect(pools.said()).toEqual({ pools: 0, example: null });
  expect(pools.failed(claim(1, 2), 'why')).toBe(false);
  expect(pools.said()).toEqual({ pools: 1, example: 't/1: why' });
  pools.failed(claim(2, 3), 'another');
  expect(pools.said()).toEqual({ pools: 2, example: 't/2: another' });
  pools.begun(claim(2));
  expect(pools.said()).toEqual({ pools: 1, example: 't/1: why' });
  pools.begun(claim(1));
  expect(pools.said()).toEqual({ pools: 0, example: null });
});

test('a minute later nothing is known of it, each of them by itself', () => {
  const { pools, claim, clock } = kit();
  pools.failed(claim(1, 5), 'one');
  clock.time += 30_000;
  pools.failed(claim(2, 5), 'two');
  clock.time += 20_000;
  pools.failed(claim(1, 6), 'one');
  clock.time += 40_000;
  expect(pools.said()).toEqual({ pools: 1, example: 't/1: one' });
  clock.time += 20_000;
  expect(pools.said()).toEqual({ pools: 0, example: null });
  expect(pools.failed(claim(1, 7), 'one')).toBe(true);
});

test('whatever an error says is one short line that can be stored', () => {
  const { pools, claim } = kit();
  pools.failed(claim(1, 9), `a\n\tb\0\x1b[31mc\ud800${'д'.repeat(10_000)}`);
  const { example } = pools.said();
  expect(example).toMatch(/^t\/1: a b \[31mc\ufffdд+…$/);
  expect(Buffer.byteLength(example!)).toBeLessThan(320);
});
