/**
 * Two and three nodes with all that they are, on the real PostgreSQL: who has which pool, what moves them, and what
 * stays where it is.
 */
import { claimNode } from '../../activities/tracker/store/nodes';
import type { Node } from '../../activities/tracker/shift/node';
import { eventually, Stack } from '../support/stack';
import { stopwatch } from '../support/stopwatch';
import { Nodes, trackerOf } from './nodes-kit';

let stack: Stack;
let cluster: Nodes;
beforeAll(async () => (stack = await Stack.start()));
afterAll(() => stack.close());
afterEach(() => cluster.close());

const look = trackerOf('t');
const equal = (pools: number): number[] => new Array<number>(pools).fill(0);
const keep = (kept: Record<string, number>) =>
  eventually(`they keep ${JSON.stringify(kept)}`, () => {
    const now = cluster.kept();
    return Object.entries(kept).every(([name, pools]) => now[name] === pools);
  });
/** Also on a machine that stood still, after which a node asks for nothing until it has heard of PostgreSQL again. */
const asks = (node: Node, shared: boolean, own: boolean) =>
  eventually(`it asks: ${JSON.stringify({ shared, own })}`, () => {
    const { opens } = node;
    return opens.shared === shared && opens.own === own;
  });
const endsOf = (end: string) => cluster.ended.filter((one) => one.end === end);
const metric = async (node: string, name: string) =>
  Number(
    new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(await cluster.metrics.get(node)!.registry.metrics())?.[1],
  );

test('a newcomer asks for its share and gets it, no pool twice; the figures say so', async () => {
  cluster = new Nodes(stack, look);
  await cluster.add('one');
  await cluster.open(equal(12));
  await keep({ one: 12 });
  expect(await metric('one', 'longwatch_node_load')).toBe(120);
  await cluster.add('two');
  await keep({ one: 6, two: 6 });
  expect(endsOf('moved')).toHaveLength(6);
  expect(new Set(endsOf('moved').map(({ pool }) => pool)).size).toBe(6);
  expect(endsOf('moved')).toEqual(endsOf('moved').map((one) => ({ ...one, node: 'one', to: 'two' })));
  expect(await metric('one', 'longwatch_pool_moves_total')).toBe(6);
  await eventually('each has half', async () => (await metric('two', 'longwatch_node_share')) === 60);
  expect(await metric('two', 'longwatch_wanted_nodes')).toBeGreaterThanOrEqual(1);
  const [row] = await eventually('its row says so', async () => {
    const rows = await stack.sql<{ shifts: number; moved: number; poolless: boolean }>(
      `select (placement->>'shifts')::int as shifts, (use->'minute'->>'moved')::int as moved,
              poolless_since is not null as poolless from longwatch.node where name = 'one'`,
    );
    return rows[0]?.shifts === 6 && rows;
  });
  expect(row).toMatchObject({ moved: 6, poolless: false });
});

test('a pool whose time is up stays where it is and counts there meanwhile', async () => {
  cluster = new Nodes(stack, look);
  cluster.shiftMs = 150;
  await cluster.add('one');
  await cluster.open([4, 4, 4, 4]);
  await keep({ one: 4 });
  await eventually('they have ended for their time', () => endsOf('elapsed').length > 12);
  expect(endsOf('elapsed')).toEqual(endsOf('elapsed').map((one) => ({ ...one, node: 'one', to: 'one' })));
  expect(cluster.ended.every(({ end }) => end === 'elapsed')).toBe(true);
  expect(cluster.nodes.get('one')!.placing.placer.pools.size).toBe(4);
});

test('drained by hand it gives all and takes nothing, at once; resumed it has its share again', async () => {
  cluster = new Nodes(stack, look);
  const one = await cluster.add('one');
  await cluster.add('two');
  await cluster.open(equal(8));
  await eventually('all are kept', () => cluster.kept().one! + cluster.kept().two! === 8);
  await cluster.want('one', 'drained_at = now()');
  await keep({ one: 0, two: 8 });
  await asks(one, false, true);
  await cluster.want('one', 'drained_at = null');
  await keep({ one: 4, two: 4 });
  await asks(one, true, true);
});

test('while Temporal is away nobody gives a pool, which nobody could take then; when it is back it is given', async () => {
  cluster = new Nodes(stack, look);
  await cluster.add('one');
  await cluster.open(equal(8));
  await keep({ one: 8 });
  cluster.isTemporalAway = true;
  await cluster.add('two');
  await cluster.want('one', 'drained_at = now()');
  await eventually('it knows that it is drained', () => !cluster.nodes.get('one')!.opens.shared);
  const rows = (of: string) => stack.sql(`select from longwatch.node where ${of} and placement ->> 'cutOff' = 'true'`);
  const isThere = async () => (await rows(`name = 'two' and placement ->> 'up' = 'true'`)).length > 0;
  await eventually('the other one is there, and says that Temporal does not answer it', isThere);
  // It looks four times a second.
  const { placing } = cluster.nodes.get('one')!;
  for (let looks = 0; looks < 4; looks++) await placing.look();
  expect(cluster.kept()).toEqual({ one: 8, two: 0 });
  expect(cluster.ended).toEqual([]);
  cluster.isTemporalAway = false;
  await keep({ one: 0, two: 8 });
  expect(await rows('true')).toEqual([]);
});

test('drained while nobody else may keep its pools, it keeps them', async () => {
  cluster = new Nodes(stack, look);
  cluster.shiftMs = 200;
  const one = await cluster.add('one');
  await cluster.open(equal(3));
  await keep({ one: 3 });
  await cluster.want('one', 'drained_at = now()');
  await eventually('it knows', () => !one.placing.placer.settings.up);
  const before = endsOf('elapsed').length;
  await eventually('their time was up since', () => endsOf('elapsed').length > before + 6);
  await keep({ one: 3 });
  expect(cluster.ended.every(({ end, to }) => end === 'elapsed' && to === 'one')).toBe(true);
});

test('a node that ends hands its pools to the others by name; the last one hands them back at once', async () => {
  cluster = new Nodes(stack, look);
  const one = await cluster.add('one');
  const two = await cluster.add('two');
  await cluster.open(equal(8));
  await eventually('all are kept', () => cluster.kept().one! + cluster.kept().two! === 8);
  await keep({ one: 4, two: 4 });
  const [began, ran] = [performance.now(), stopwatch()];
  one.drain();
  await keep({ one: 0, two: 8 });
  const stoodStill = performance.now() - began - ran() > 1_000;
  const given = cluster.ended.filter(({ node, end }) => node === 'one' && end === 'handed back');
  expect(given).toHaveLength(4);
  // On a machine that stood still it has heard of nobody for a while, and hands them back.
  for (const { to } of given) expect(['two', ...(stoodStill ? [undefined] : [])]).toContain(to);
  await asks(one, false, true);
  // One was sent to it before the others knew that it ends.
  cluster.wanted = 'one';
  const [sent] = two.shifts;
  sent!.end('asked');
  const isHandedOn = ({ pool, node, to }: (typeof cluster.ended)[0]): boolean =>
    pool === sent!.claim.pool && node === 'one' && to === 'two';
  await eventually('it hands it on', () => endsOf('redirected').some(isHandedOn));
  cluster.wanted = undefined;
  await keep({ one: 0, two: 8 });
  two.drain();
  await keep({ two: 0 });
  const back = await eventually('all have ended', () => {
    const ended = cluster.ended.filter(({ node, end }) => node === 'two' && end === 'handed back');
    return ended.length === 8 && ended;
  });
  expect(back.every(({ to }) => to === undefined)).toBe(true);
});

test('the target and the weight of a node are kept to', async () => {
  cluster = new Nodes(stack, look);
  await cluster.add('one');
  await cluster.add('two');
  await cluster.open(equal(12));
  await eventually('all are kept', () => cluster.kept().one! + cluster.kept().two! === 12);
  await cluster.want('one', 'target = 2');
  await keep({ one: 2, two: 10 });
  expect(await metric('one', 'longwatch_node_places')).toBe(2);
  await cluster.want('one', 'target = null, weight = 2');
  await keep({ one: 8, two: 4 });
});

test('TR-M13: a node without the tracker, or without its label, hands the pool on to one that has it', async () => {
  cluster = new Nodes(stack, { ...look, placement: { on: 'gpu' } });
  await cluster.add('other', { trackers: [trackerOf('another')], labels: ['gpu'] });
  await cluster.add('plain');
  await cluster.open(equal(3));
  // Not those that came while a node had not heard of PostgreSQL, on a machine that stood still.
  const declined = () => cluster.failed.filter(({ nextRetryDelay }) => nextRetryDelay !== '100ms');
  const said = (node: string) => declined().filter((one) => one.node === node);
  await eventually('nobody may keep them', () => said('other').length > 2 && said('plain').length > 2);
  expect(new Set(said('other').map(({ type }) => type))).toEqual(new Set(['NotDefinedHere']));
  expect(new Set(said('plain').map(({ type }) => type))).toEqual(new Set(['Declined']));
  // Offered again soon, and later each time.
  expect(Math.min(...declined().map(({ nextRetryDelay }) => Number(nextRetryDelay)))).toBe(250);
  expect(Math.max(...declined().map(({ nextRetryDelay }) => Number(nextRetryDelay)))).toBeLessThanOrEqual(5_000);
  await cluster.add('able', { labels: ['gpu'] });
  await keep({ able: 3 });
  expect(endsOf('redirected').every(({ to }) => to === 'able')).toBe(true);
});

test('a node whose name another process has taken takes no more pools, keeps what it has, and says so', async () => {
  cluster = new Nodes(stack, look);
  const one = await cluster.add('one');
  await cluster.open(equal(2));
  await keep({ one: 2 });
  const said = jest.spyOn(one.log, 'error');
  const database = cluster.databases.get(one)!;
  await database.transaction((db) => claimNode(db, { ...one.row, pid: 2 }));
  await eventually('it knows', () => !one.opens.shared && !one.opens.own);
  await eventually('it says so once', () => said.mock.calls.length === 1);
  expect(said.mock.calls[0]![0]).toMatch(/another process has taken the name one: .*end one of the two/);
  expect(cluster.kept()).toEqual({ one: 2 });
  expect(await stack.sql('select pid from longwatch.node')).toEqual([{ pid: 2 }]);
  // Their time is up: its own queue is the other process's by now.
  for (const shift of one.shifts) shift.end('elapsed');
  await eventually('both have ended', () => endsOf('elapsed').length === 2);
  expect(endsOf('elapsed').every(({ to }) => to === undefined)).toBe(true);
});

test('a pool that was to come back and that another node has taken counts for that one alone', async () => {
  cluster = new Nodes(stack, look);
  const one = await cluster.add('one');
  await cluster.open(equal(1));
  await keep({ one: 1 });
  const two = await cluster.add('two');
  // As `move` does it: the shift is asked to end, and the next one is on another node.
  cluster.wanted = 'two';
  for (const shift of one.shifts) shift.end('asked');
  await keep({ one: 0, two: 1 });
  await eventually('it counts there alone', () => {
    return one.placing.placer.pools.size === 0 && two.placing.placer.pools.size === 1;
  });
});

test('TR-M3: after a failover to a database whose clock is an hour behind, nothing counts for that hour', async () => {
  cluster = new Nodes(stack, look);
  const { clock } = await cluster.add('one');
  const hour = 3_600_000;
  Object.assign(clock, {
    set: () => undefined,
    toStore: (ms: number) => ms + hour,
    fromStore: (ms: number) => ms - hour,
  });
  await cluster.open(equal(12));
  await keep({ one: 12 });
  for (const own of ['set', 'toStore', 'fromStore']) Reflect.deleteProperty(clock, own);
  await cluster.add('two');
  await keep({ one: 6, two: 6 });
});

test('a node that cannot reach PostgreSQL asks for nothing, and does again when it can', async () => {
  cluster = new Nodes(stack, look);
  const one = await cluster.add('one');
  await cluster.open([0]);
  const changes: boolean[] = [];
  one.onOpens(() => changes.push(one.opens.shared));
  const away = jest
    .spyOn(cluster.databases.get(one)!, 'transaction')
    .mockImplementation(() => Promise.reject(new Error('away')));
  await eventually('it asks for nothing', () => changes.at(-1) === false);
  await asks(one, false, false);
  away.mockRestore();
  await eventually('it asks again', () => one.opens.shared && one.opens.own);
  expect(changes.at(-1)).toBe(true);
});
