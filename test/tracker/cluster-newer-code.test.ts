/**
 * Nodes of two releases side by side, of which the older one cannot read what the newer one has written: on the real
 * PostgreSQL, with nodes that have all that they are. A pool with newer states goes to a node that knows them, at once.
 */
import { readRow } from '../../activities/tracker/placement/row';
import type { Node } from '../../activities/tracker/shift/node';
import type { TrackerDefinition } from '../../exports';
import { eventually, Stack } from '../support/stack';
import { stopwatch } from '../support/stopwatch';
import { Nodes, trackerOf } from './nodes-kit';

let stack: Stack;
let cluster: Nodes;
beforeAll(async () => (stack = await Stack.start()));
afterAll(() => stack.close());
afterEach(() => cluster.close());

const same = (state: unknown): unknown => state;
/** The tracker as a release has it whose states have that version. */
const release = (version: number, down: Record<number, typeof same> = {}): TrackerDefinition =>
  trackerOf('t', { receive: () => undefined, state: { initial: 0, version, migrate: { 1: same, 2: same }, down } });
const HALF = 2 ** 31;
/** A member of pool 0 (the lower half of the slots) or 1 that was written by a release of that version. */
const written = (pool: number, version: number) =>
  stack.sql(
    `insert into longwatch.life (tracker, id, slot, version, schema, state) values ('t', 'of ' || $1, $2, 1, $3, '0')`,
    [pool, pool * HALF + 7, version],
  );
const keptBy = (name: string) => [...cluster.nodes.get(name)!.shifts].map(({ claim }) => claim.pool).sort();
const seenBy = ({ clock, placing }: Node) => placing.placer.view(clock.now()).length;
const endsOn = (node: string) => cluster.ended.filter((one) => one.node === node);

test('a pool that comes to a node whose code is too old is handed on to one that says that it can read it', async () => {
  cluster = new Nodes(stack, release(1));
  const old = await cluster.add('old');
  await cluster.add('new', { trackers: [release(3)] });
  const rows = await stack.sql<{ placement: unknown }>('select placement from longwatch.node order by name');
  expect(rows.map(({ placement }) => readRow(placement, 1)?.reads)).toEqual([{ t: 3 }, { t: 1 }]);
  await eventually('the old one has seen the new one', () => seenBy(old) === 2);
  await cluster.open([0, 0]);
  await eventually('both are kept', () => cluster.kept().old! + cluster.kept().new! === 2);
  await written(0, 3);
  await written(1, 3);
  // Their keepers let them go, and they come by the shared queue, to one node after the other.
  for (let times = 0; times < 6; times++) {
    const before = cluster.ended.length;
    for (const node of cluster.nodes.values()) for (const shift of node.shifts) shift.end('fenced');
    await eventually('they have ended', () => cluster.ended.length >= before + 2);
    await eventually('the new one keeps both', () => keptBy('new').join() === '0,1');
  }
  const handedOn = endsOn('old').filter(({ end }) => end === 'redirected');
  expect(handedOn.length).toBeGreaterThan(0);
  expect(handedOn.every(({ to }) => to === 'new')).toBe(true);
  expect(cluster.failed.filter(({ peers }) => peers > 0)).toEqual([]);
});

test('a way back counts as knowing it; where nobody knows it the pool is declined, and the node says so', async () => {
  cluster = new Nodes(stack, release(1));
  const old = await cluster.add('old');
  await cluster.add('older', { trackers: [release(1)] });
  // Nobody takes it before its member is there.
  await cluster.want('old', 'drained_at = now()');
  await cluster.want('older', 'drained_at = now()');
  await eventually('they know', () => [...cluster.nodes.values()].every(({ opens }) => !opens.shared));
  await cluster.open([0]);
  await written(0, 3);
  cluster.failed.length = 0;
  await cluster.want('old', 'drained_at = null');
  await cluster.want('older', 'drained_at = null');
  await eventually('both have declined it again and again', () =>
    ['old', 'older'].every((name) => cluster.failed.filter(({ node }) => node === name).length > 2),
  );
  expect(new Set(cluster.failed.map(({ type }) => type))).toEqual(new Set(['Declined']));
  expect(old.failing.said()).toEqual({
    pools: 1,
    example: expect.stringMatching(
      /^t\/0: pool 0 of t has states .* this code knows 1.*roll out the newer code/,
    ) as string,
  });
  await eventually('it is in its row', async () => {
    const rows = await stack.sql(
      `select 1 from longwatch.node where name = 'old' and use #>> '{failing,pools}' = '1' and use #>> '{failing,example}' like 't/0: %'`,
    );
    return rows.length === 1;
  });
  await cluster.add('able', { trackers: [release(2, { 3: same })] });
  await eventually('the one that has a way back keeps it', () => cluster.kept().able === 1);
});

test('drained, a node keeps what only its code can read, and says so; it gives it to another one of its release', async () => {
  cluster = new Nodes(stack, release(1));
  const newer = await cluster.add('new', { trackers: [release(3)] });
  await cluster.open([0, 0]);
  await eventually('it keeps both', () => cluster.kept().new === 2);
  await cluster.add('old');
  await cluster.want('new', 'drained_at = now()');
  await eventually('it says that nobody can relieve it', async () => {
    const rows = await stack.sql(`select 1 from longwatch.node where name = 'new' and use ->> 'stuck' = '2'`);
    return rows.length === 1;
  });
  expect(cluster.kept()).toEqual({ new: 2, old: 0 });
  await cluster.add('another', { trackers: [release(3)] });
  await eventually('both are given', () => cluster.kept().another === 2);
  // It ends, and so does the last one that can read them: whoever comes by the shared queue tries.
  newer.drain();
  cluster.nodes.get('another')!.drain();
  await eventually('they are handed back at once', () => cluster.kept().another === 0);
});

test('a node that alone can read a pool takes it above its target, whatever room older ones have', async () => {
  cluster = new Nodes(stack, release(1));
  await cluster.add('old');
  const newer = await cluster.add('new', { trackers: [release(3)] });
  await cluster.want('new', 'target = 0');
  for (const name of ['old', 'new']) await cluster.want(name, 'drained_at = now()');
  await eventually('they know', () => [...cluster.nodes.values()].every(({ opens }) => !opens.shared));
  await cluster.open([0, 0]);
  await written(0, 3);
  await written(1, 3);
  await cluster.want('old', 'drained_at = null');
  await eventually('the old one has room', () => newer.placing.placer.view(newer.clock.now())[1]?.up === true);
  await cluster.want('new', 'drained_at = null');
  await eventually('it keeps both', () => cluster.kept().new === 2);
});

test('a node whose config says nothing of receiving leaves the pool to one that can read it, and keeps it while there is none', async () => {
  cluster = new Nodes(stack, release(1));
  const plain = await cluster.add('plain', { trackers: [trackerOf('t')] });
  await cluster.open([0]);
  await eventually('it keeps it', () => cluster.kept().plain === 1);
  await written(0, 3);
  for (const shift of plain.shifts) shift.end('fenced');
  await eventually('it has come back', () => cluster.ended.length === 1 && cluster.kept().plain === 1);
  await cluster.add('new', { trackers: [release(3)] });
  await eventually('the plain one has seen it', () => seenBy(plain) === 2);
  for (let times = 0; times < 4; times++) {
    // One that comes back from its way is taken by whoever gets it.
    await eventually('nothing is on its way', () => plain.placing.placer.row(plain.clock.now()).out.length === 0);
    const before = cluster.ended.length;
    for (const node of cluster.nodes.values()) for (const shift of node.shifts) shift.end('fenced');
    await eventually('it has ended', () => cluster.ended.length > before);
    const [began, ran] = [performance.now(), stopwatch()];
    await eventually('the one that can read it keeps it', () => {
      // On a machine that stood still the plain one has heard of nobody for a while, and keeps what comes to it then.
      const stoodStill = performance.now() - began - ran() > 1_000;
      if (stoodStill && seenBy(plain) === 2) for (const shift of plain.shifts) shift.end('fenced');
      return cluster.kept().new === 1;
    });
  }
  expect(endsOn('plain')).toContainEqual({ pool: 0, node: 'plain', end: 'redirected', to: 'new' });
  expect(cluster.failed.filter(({ peers }) => peers > 0)).toEqual([]);
});
