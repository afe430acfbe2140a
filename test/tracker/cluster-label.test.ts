/** Trackers with a label, on nodes that are all there is to them: on the real PostgreSQL. */
import { eventually, Stack } from '../support/stack';
import { Nodes, trackerOf } from './nodes-kit';

let stack: Stack;
let cluster: Nodes;
beforeAll(async () => (stack = await Stack.start()));
afterAll(() => stack.close());
afterEach(() => cluster.close());

/** As `longwatch config t --set placement.on=…` writes it. */
const label = (on: string) =>
  stack.sql(`update longwatch.tracker set changes = $1, version = version + 1 where name = 't'`, [
    JSON.stringify({ 'placement.on': on }),
  ]);

test('the label is changed while the tracker runs: its pools go to the nodes with the new one, and wait with their node while there is none', async () => {
  cluster = new Nodes(stack, trackerOf('t', { placement: { on: 'gpu' } }));
  await cluster.add('one', { labels: ['gpu'] });
  await cluster.add('plain');
  await cluster.open([0, 0, 0]);
  await eventually('those with the label keep them', () => cluster.kept().one === 3);
  await label('gpu2');
  await eventually('nobody can have them', async () => {
    const rows = await stack.sql(`select 1 from longwatch.node where name = 'one' and use ->> 'stuck' = '3'`);
    return rows.length === 1;
  });
  expect(cluster.kept()).toEqual({ one: 3, plain: 0 });
  await cluster.add('two', { labels: ['gpu2'] });
  await eventually('they have moved', () => cluster.kept().two === 3);
  const moved = { node: 'one', end: 'moved', to: 'two' };
  expect(cluster.ended).toMatchObject([moved, moved, moved]);
});

test('a node that alone may keep a pool takes it above its target, whatever room others have for other pools', async () => {
  cluster = new Nodes(stack, trackerOf('t', { placement: { on: 'gpu' } }));
  await cluster.add('plain');
  await cluster.add('one', { labels: ['gpu'] });
  await cluster.want('one', 'target = 1');
  await eventually('it knows', () => cluster.nodes.get('one')!.placing.placer.settings.places === 1);
  await cluster.open([0, 0, 0]);
  await eventually('it keeps all', () => cluster.kept().one === 3);
});
