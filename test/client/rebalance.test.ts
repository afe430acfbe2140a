/**
 * `rebalance` and `move` as far as they rest on rows: what they would do, what they refuse, and what they say of a pool
 * whose workflow does not run. Pools that do move are in test/e2e/steered.test.ts.
 */
import type { Longwatch } from '../../client/longwatch';
import { runCli } from '../support/cli';
import { keep, writeNode, writeTracker, type NodeGiven } from '../support/node-rows';
import { Stack } from '../support/stack';

let stack: Stack;
let longwatch: Longwatch;
const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);
/** Only those are balanced that were heard of within three seconds of now, before it or after it. */
const lives = (name: string, more: Partial<NodeGiven> = {}): NodeGiven => ({ name, silentMs: -2_500, ...more });

beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());
/** Both are seen now, and then for some seconds. */
async function uneven(): Promise<void> {
  await keep(sql, lives('a'), 'things', [0, 1, 2, 3, 4, 5, 6]);
  await keep(sql, lives('b'), 'things', [7]);
}
beforeEach(async () => {
  await sql('truncate longwatch.tracker cascade');
  await sql('truncate longwatch.node, longwatch.audit, longwatch.life');
  await writeTracker(sql, 'things', 8);
  await uneven();
});

test('the preview has each move, and what each node has before and after, in numbers', async () => {
  const preview = await longwatch.previewRebalance();
  expect(preview).toMatchObject({
    members: 270,
    stuck: [],
    nodes: [
      { name: 'a', share: 400, before: { load: 700, pools: 7 }, after: { load: 400, pools: 4 }, gives: 3, gets: 0 },
      { name: 'b', share: 400, before: { load: 100, pools: 1 }, after: { load: 400, pools: 4 }, gives: 0, gets: 3 },
    ],
  });
  expect(preview.moves.map(({ tracker, from, to }) => `${tracker} ${from} ${to}`)).toEqual(Array(3).fill('things a b'));
  await uneven();
  const { status, out, err } = await runCli(stack, 'rebalance', '--dry-run');
  expect([status, err]).toEqual([0, 'do it without --dry-run\n']);
  expect(out).toMatch(
    /^node +share +load +then +pools +then +gives +gets\na +400 +700 +400 +7 +4 +3 +0\nb +400 +100 +400 +1 +4 +0 +3\n/,
  );
  expect(out).toMatch(/3 pools would move, 270 members; about 1 s, and a tenth of a second for each member/);
  expect(await longwatch.audit()).toEqual([]);
});

test('a drained node gives all; what no other may keep is named; dead nodes have no part in it', async () => {
  await writeTracker(sql, 'alone', 1);
  await keep(sql, lives('a', { placement: { keeps: ['things', 'alone'] } }), 'alone', [0]);
  await keep(sql, { name: 'dead', silentMs: 60_000 }, 'things', [6]);
  await longwatch.node('a').drain();
  const { nodes, stuck, moves } = await longwatch.previewRebalance();
  expect(nodes.map(({ name, after }) => [name, after.pools])).toEqual([['a', 1], ['b', 7]]); // prettier-ignore
  expect(stuck).toEqual(['alone/0']);
  expect(moves).toHaveLength(6);
});

test('older code is given no pool whose states it cannot read; what a node writes is in its row', async () => {
  const states = { reads: { things: 2 }, writes: { things: 2 } };
  await keep(sql, lives('a', { placement: states }), 'things', [0, 1, 2, 3, 4, 5, 6]);
  await keep(sql, lives('b', { placement: { reads: { things: 1 }, writes: { things: 1 } } }), 'things', [7]);
  expect((await longwatch.previewRebalance()).moves).toEqual([]);
  await keep(sql, lives('b', { placement: states }), 'things', [7]);
  expect((await longwatch.previewRebalance()).moves).toHaveLength(3);
});

/** The first one of eight pools has the first eighth of the slots, the second one has the fifth. */
const writeStates = () =>
  sql(
    `insert into longwatch.life (tracker, id, slot, version, schema, state)
     values ('things', 'of 0', $1, 1, 3, '0'), ('things', 'of 1', $2, 1, 2, '0')`,
    [2 ** 29 - 1, 2 ** 31],
  );

test.each<[what: string, reads: Record<string, number> | undefined, refusal: RegExp | undefined]>([
  ['older code', { things: 2 }, /cannot read the states .* newest one has version 3, and it reads up to 2; roll out/],
  ['a config without a receive', {}, /config has no receive .* and they have states/],
  ['code that can read them', { things: 3 }, undefined],
  ['code that does not say', undefined, undefined],
])(
  'a pool whose members have states is not moved to %s, where that cannot read them',
  async (_what, reads, refusal) => {
    await sql(`update longwatch.tracker set options = options || '{"receive": {}}'`);
    await writeStates();
    const moved = async (pool: number) => {
      // It was seen just now, however slow this machine is.
      await keep(sql, { name: 'b', placement: { reads } }, 'things', [7]);
      return longwatch.tracker('things').move(pool, { to: 'b' });
    };
    // As far as it goes without a workflow.
    await expect(moved(0)).rejects.toThrow(refusal ?? /its workflow does not run/);
    const isOther = reads !== undefined && reads.things === undefined;
    await expect(moved(1)).rejects.toThrow(isOther ? refusal : /its workflow does not run/);
  },
);

test.each<[what: string, reads: Record<string, number>, refusal: RegExp]>([
  ['any node', {}, /its workflow does not run/],
  [
    'one that still has the code, and cannot read them',
    { things: 2 },
    /newest one has version 3, and it reads up to 2/,
  ],
])('what members had before their tracker received no more keeps no pool from %s', async (_what, reads, says) => {
  await writeStates();
  await keep(sql, { name: 'b', placement: { reads } }, 'things', [7]);
  // As far as it goes without a workflow.
  await expect(longwatch.tracker('things').move(0, { to: 'b' })).rejects.toThrow(says);
});

test('at rest nothing is moved, and no row is listed', async () => {
  await keep(sql, lives('b'), 'things', [4, 5, 6, 7]);
  await keep(sql, lives('a'), 'things', [0, 1, 2, 3]);
  const { status, err, out } = await runCli(stack, 'rebalance');
  expect([status, out]).toEqual([0, 'nothing was moved\n']);
  expect(err).toMatch(/nothing to move: each node has its share/);
  expect(await longwatch.audit()).toEqual([]);
});

test('a pool whose workflow does not run is said, with the others it ends with 1', async () => {
  const { status, out, err } = await runCli(stack, 'rebalance', '--why', 'uneven');
  expect(status).toBe(1);
  expect(err).toMatch(/3 pools move, 270 members/);
  expect(out).toMatch(/^0 pools moved\n {2}things\/\d is not on b: its workflow does not run$/m);
  expect((await longwatch.audit())[0]).toMatchObject({
    what: 'rebalance',
    subject: 'cluster',
    before: { a: 7, b: 1 },
    after: { a: 4, b: 4, moved: 0, failed: 3 },
    why: 'uneven',
    outcome: 'unchanged',
  });
});

test('a move that changes nothing, and one whose pool has no workflow', async () => {
  expect((await runCli(stack, 'move', 'things', '7', '--to', 'b')).out).toBe("pool 7 of 'things' was on 'b' already\n");
  expect(await longwatch.audit()).toEqual([]);
  await expect(longwatch.tracker('things').move(0, { to: 'b', why: 'hot' })).rejects.toThrow(
    "pool 0 of things is not on 'b': its workflow does not run",
  );
  expect((await longwatch.audit())[0]).toMatchObject({
    subject: 'pool/things/0',
    before: { node: 'a' },
    outcome: 'unknown',
  });
});

test.each<[args: string[], prepare: () => Promise<unknown>, message: RegExp]>([
  [['0', '--to', 'c'], async () => undefined, /there is no node 'c'/],
  [['8', '--to', 'b'], async () => undefined, /tracker 'things' has no pool 8; its pools are 0 to 7/],
  [['x', '--to', 'b'], async () => undefined, /a pool is a whole number, not 'x'/],
  [['0'], async () => undefined, /required option '--to <node>'/],
  [['0', '--to', 'b'], () => longwatch.node('b').drain(), /would not keep pool 0 of things: it is drained/],
  [['0', '--to', 'b'], () => longwatch.node('b').drain({ tracker: 'things' }), /it is drained for things/],
  [['0', '--to', 'b'], () => longwatch.node('b').target(1), /it is at its target of 1/],
  [['0', '--to', 'b'], () => writeNode(sql, { name: 'b', silentMs: 60_000 }), /it is not heard of/],
  [
    ['0', '--to', 'b'],
    () => writeNode(sql, lives('b', { placement: { keeps: ['other'] } })),
    /does not have that tracker/,
  ],
  [
    ['0', '--to', 'b'],
    () => sql(`update longwatch.pool set released_at = now()`),
    /no node keeps pool 0 of things at the moment/,
  ],
])('move %j is refused with 2 (%#)', async (args, prepare, message) => {
  await prepare();
  const listed = (await longwatch.audit()).length;
  const { status, err, out } = await runCli(stack, 'move', 'things', ...args);
  expect(err).toMatch(message);
  expect({ status, out }).toEqual({ status: 2, out: '' });
  expect(await longwatch.audit()).toHaveLength(listed);
});
