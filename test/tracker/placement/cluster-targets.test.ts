/**
 * The promises of placement, measured in the simulated cluster. The limits are the promises; the comments say what was
 * measured.
 */
import { Draws } from '../../support/draws';
import { equalPools, movesWithin, rest, shareOf, show, unevenPools } from './cluster-scenario';
import { SimulatedCluster } from './simulated-cluster';

const HOUR = 3_600_000;

function started(nodes: number, pools: number, sizes: 'equal' | 'uneven', seed = 1): SimulatedCluster {
  const draw = new Draws(seed);
  const cluster = new SimulatedCluster({
    draw,
    pools: sizes === 'equal' ? equalPools(pools) : unevenPools(pools, draw),
  });
  for (let at = 0; at < nodes; at++) cluster.join(`n${at}`);
  rest(cluster);
  expect(cluster.allKept).toBe(true);
  cluster.counts = SimulatedCluster.nothing();
  return cluster;
}

/** @returns milliseconds until the newcomer has nine tenths of its share */
function join(cluster: SimulatedCluster, name = 'new'): number | undefined {
  const node = cluster.join(name);
  return cluster.runUntil(
    () => cluster.now > 0 && node.hasView && cluster.loadOf(name) >= 0.9 * shareOf(cluster, node),
    60_000,
  );
}

test.each(['equal', 'uneven'] as const)('a third node has nine tenths of its share within 10 s (%s pools)', (sizes) => {
  const cluster = started(2, 400, sizes);
  // 4 s; the least for equal pools is 133 moves for the whole share.
  expect(join(cluster)).toBeLessThanOrEqual(10_000);
  rest(cluster);
  if (sizes === 'equal') expect(cluster.counts.moves).toBeLessThanOrEqual(1.2 * 133);
  expect(cluster.counts.longestMove).toBeLessThan(1_000);
  expect(movesWithin(cluster, 60_000)).toBe(0);
  cluster.check();
});

test('a ninth node has nine tenths of its share within 10 s', () => {
  const cluster = started(8, 400, 'equal');
  expect(join(cluster)).toBeLessThanOrEqual(10_000);
  rest(cluster);
  expect(cluster.counts.moves).toBeLessThanOrEqual(1.2 * 44);
});

test.each([
  [3, 'uneven'],
  [8, 'uneven'],
] as const)('at rest nothing moves in an hour (%i nodes, %s pools)', (nodes, sizes) => {
  const cluster = started(nodes, 200, sizes);
  expect(movesWithin(cluster, HOUR)).toBe(0);
});

test('after kill -9 the orphans are kept again at once, without a wait that declining made, and nothing else moves', () => {
  const cluster = started(8, 400, 'equal');
  cluster.kill('n3');
  cluster.run(5_000);
  expect(cluster.runUntil(() => cluster.allKept, 10_000)).toBeLessThanOrEqual(2_000);
  expect(cluster.counts.longestDecline).toBeLessThan(1_000);
  rest(cluster);
  expect(cluster.counts.moves).toBeLessThanOrEqual(0.2 * cluster.counts.orphans);
});

test('a frozen node swallows nothing: its pools are kept again right after the time-out, and handed to nobody', () => {
  const cluster = started(3, 60, 'equal');
  const had = cluster.nodes.get('n1')!.placer.pools.size;
  cluster.freeze('n1', 8_000);
  cluster.run(5_000);
  expect(cluster.runUntil(() => cluster.allKept, 10_000)).toBeLessThanOrEqual(1_500);
  expect(cluster.counts).toMatchObject({ orphans: had, redirects: 0 });
});

test('a drained node gives all it has, each pool once', () => {
  const cluster = started(3, 400, 'equal');
  const had = cluster.nodes.get('n1')!.placer.pools.size;
  cluster.drain('n1');
  // 133 pools, 16 at a time: 5 s.
  expect(cluster.runUntil(() => cluster.loadOf('n1') === 0 && cluster.allKept, 30_000)).toBeLessThanOrEqual(10_000);
  rest(cluster);
  expect(cluster.counts.moves).toBeLessThanOrEqual(1.2 * had);
  expect(cluster.counts.longestMove).toBeLessThan(1_000);
  expect(movesWithin(cluster, 60_000)).toBe(0);
});

test('a rolling restart of three nodes: drain, stop, start, next; no pool waits for more than a second', () => {
  const cluster = started(3, 200, 'equal');
  for (const name of ['n0', 'n1', 'n2']) {
    cluster.drain(name);
    expect(cluster.runUntil(() => cluster.loadOf(name) === 0 && cluster.allKept, 30_000)).toBeDefined();
    cluster.stop(name);
    cluster.run(2_000);
    expect(join(cluster, name)).toBeLessThanOrEqual(10_000);
  }
  rest(cluster);
  expect(cluster.counts.longestMove).toBeLessThan(1_000);
  expect(cluster.counts.longestDecline).toBeLessThan(1_000);
  expect(cluster.counts.orphans).toBe(0);
  expect(movesWithin(cluster, 60_000)).toBe(0);
  cluster.check();
});

test('pools that need a label are kept by who has it only, and wait for it where nobody has', () => {
  const draw = new Draws(5);
  const cluster = new SimulatedCluster({ draw, pools: unevenPools(100, draw, 0.3) });
  for (const name of ['n0', 'n1', 'n2']) cluster.join(name);
  cluster.run(20_000);
  const withLabel = () => [...cluster.pools.values()].filter(({ pool }) => pool.kind === 'eve@gpu');
  for (const { on } of withLabel()) expect(on).toBeUndefined();
  expect(cluster.counts.nobody).toBe(0);
  cluster.join('gpu', {}, ['gpu']);
  rest(cluster);
  for (const { on } of withLabel()) expect(on?.name).toBe('gpu');
  expect(cluster.allKept).toBe(true);
});

test('all nodes full: every pool is kept all the same, as evenly as the weights say, and nothing moves to and fro', () => {
  const cluster = new SimulatedCluster({ draw: new Draws(2), pools: equalPools(100) });
  for (const name of ['n0', 'n1', 'n2']) cluster.join(name, { places: 20 });
  rest(cluster);
  expect(cluster.allKept).toBe(true);
  for (const { placer } of cluster.living) expect(placer.pools.size).toBeLessThanOrEqual(42);
  expect(movesWithin(cluster, 60_000)).toBe(0);
});

test('a target that is lowered takes effect within seconds', () => {
  const cluster = started(3, 90, 'equal');
  cluster.set('n0', { places: 10 });
  expect(cluster.runUntil(() => cluster.nodes.get('n0')!.placer.pools.size <= 10, 10_000)).toBeDefined();
  rest(cluster);
  expect(cluster.nodes.get('n0')!.placer.pools.size).toBe(10);
});

test('a node that is killed and started again every few seconds disturbs nobody but its own pools', () => {
  const cluster = started(4, 200, 'equal');
  for (let round = 0; round < 4; round++) {
    cluster.kill('n1');
    cluster.run(2_000);
    cluster.join('n1', { weight: 0.5 ** round });
    cluster.run(8_000);
  }
  rest(cluster);
  if (!cluster.allKept) throw new Error(show(cluster));
  cluster.check();
  expect(movesWithin(cluster, 60_000)).toBe(0);
});

test('a node that is behind and short of its share is given it at once: what is sent to a node by name does not wait', () => {
  const cluster = started(2, 60, 'equal');
  cluster.join('slow', { hot: true });
  cluster.run(10_000);
  expect(cluster.counts.fallBacks).toBe(0);
});
