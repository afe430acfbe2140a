/**
 * A cluster of three processes, steered by hand: its nodes are seen, one is drained and resumed, one has a target, a
 * pool is moved, all of it balanced; and at each moment the questions have one right answer for each id.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { resolveConfig } from '../../config/resolve/config';
import { carryOut } from '../../client/cluster/moves';
import { Connections } from '../../client/connections';
import type { Longwatch } from '../../client/longwatch';
import { runCli } from '../support/cli';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './fixtures/steered.config';

const FILE = path.join(__dirname, 'fixtures/steered.config.ts');
const IDS = Array.from({ length: 120 }, (_, i) => `id-${i}`);
const NAMES = ['worker-1', 'worker-2', 'worker-3'];

let stack: Stack;
let longwatch: Longwatch;
const workers = new Map<string, WorkerProcess>();
/** When each id was asked, by the clock of the test. */
const asked = new Map<string, number[]>();
const upstream = createServer((request, response) => {
  const id = request.url!.slice(1);
  asked.set(id, [...(asked.get(id) ?? []), Date.now()]);
  response.end('1');
});

const things = () => longwatch.tracker('things');

async function begin(name: string): Promise<void> {
  const { port } = upstream.address() as AddressInfo;
  const worker = stack.workerProcess(FILE, {
    LONGWATCH_NODE: name,
    LONGWATCH_TEST_UPSTREAM: `http://127.0.0.1:${port}`,
  });
  workers.set(name, worker);
  await worker.ready;
}

const pools = async () =>
  Object.fromEntries(
    (await longwatch.nodes()).nodes.filter(({ alive }) => alive).map((node) => [node.name, node.pools]),
  );

/** The load of the largest pool there can be: 20 members, twice a second each. Pools are not divided. */
const A_POOL = 50;

const isAlive = (id: string, more: object = {}) =>
  eventually(`${id} is alive`, async () => {
    expect(await things().alive(id)).toMatchObject({ ...more, alive: true });
    return true;
  });

/** Each has its share, as far as whole pools go, and each pool has a node. */
const isEven = async (names = NAMES) => {
  const { nodes } = await longwatch.nodes();
  const { pools: all, poolsKept } = await things().count();
  return (
    all === poolsKept &&
    names.every((name) => {
      const node = nodes.find((each) => each.name === name);
      return node !== undefined && node.pools > 0 && Math.abs(node.load! - node.share!) <= A_POOL;
    })
  );
};

beforeAll(async () => {
  await new Promise<void>((listening) => upstream.listen(0, '127.0.0.1', listening));
  stack = await Stack.start();
  longwatch = await stack.connect();
  await begin('worker-1');
  await things().start(resolveConfig(config).trackers[0]!.options);
  await things().add(IDS, { wait: true });
  await eventually('all pools are kept', async () => {
    const { pools: all, poolsKept } = await things().count();
    return all >= 8 && all === poolsKept;
  });
});
afterAll(async () => {
  await stack?.close();
  upstream.close();
  upstream.closeAllConnections();
});

test('two more join, have their shares, and are seen', async () => {
  await Promise.all([begin('worker-2'), begin('worker-3')]);
  await eventually('each has its share', () => isEven());
  await eventually('all is well', async () => {
    const { nodes } = await longwatch.nodes();
    return nodes.every(({ verdict, use, share }) => verdict.level === 'good' && use !== null && share !== null);
  });
  const { status, out } = await runCli(stack, 'nodes');
  expect(status).toBe(0);
  for (const name of NAMES) expect(out).toMatch(new RegExp(`^${name} +good +\\d`, 'm'));
  expect(out).toMatch(/^3 nodes, \d+ wanted by load; a dead node's pools go to others after 15\.0 s$/m);
  await eventually('the doctor finds nothing wrong', async () => {
    const found = await runCli(stack, 'doctor');
    expect({ found: found.out, status: found.status }).toMatchObject({ status: 0 });
    return true;
  });
});

test('a pool is moved to a node that is named, which has its fence then; the id in it is alive there', async () => {
  // One that the nodes balance just then would be somewhere else by the time that it is moved.
  await eventually('nothing is left to move', async () => (await longwatch.previewRebalance()).moves.length === 0);
  const { pool, node } = await things().where('id-7');
  const to = NAMES.find((name) => name !== node)!;
  const { status, out, err } = await runCli(stack, 'move', 'things', String(pool), '--to', to, '--why', 'to try it');
  expect([status, err]).toEqual([0, '']);
  expect(out).toBe(`pool ${pool} of 'things' is on '${to}' now, not on '${node}'\n`);
  await isAlive('id-7', { pool, node: to });
  expect((await longwatch.audit({ limit: 1 }))[0]).toMatchObject({ what: 'move', outcome: 'done', why: 'to try it' });
});

test('a node is drained: it ends with nothing, no id is ever of two nodes, all are kept by the others', async () => {
  let over = false;
  const states = new Set<string>();
  const watching = (async () => {
    while (!over) {
      const rows = await stack.sql<{ id: string; state: string; heard: boolean }>(
        `select id, state, not exists (select from longwatch.node where ended_at is null
                                       and seen_at < clock_timestamp() - interval '3 seconds') as heard
         from longwatch.member_place where tracker = 'things'`,
      );
      expect(new Set(rows.map(({ id }) => id)).size).toBe(IDS.length);
      expect(rows).toHaveLength(IDS.length);
      // While the whole machine stands still no node says that it lives.
      for (const { state, heard } of rows) if (heard) states.add(state);
    }
  })();
  const drained = await runCli(stack, 'node', 'drain', 'worker-2', '--wait', '--why', 'a kernel');
  over = true;
  await watching;
  expect(drained).toMatchObject({ status: 0, out: expect.stringMatching(/it keeps nothing\n$/) as string });
  // One that nobody took in time was kept on for a moment.
  await eventually('it keeps nothing', async () => (await pools())['worker-2'] === 0);
  expect([...states].filter((state) => state !== 'kept' && state !== 'between shifts')).toEqual([]);
  await eventually('the others have all', () => isEven(['worker-1', 'worker-3']));
  const verdict = async () => (await longwatch.node('worker-2').report()).verdict.word;
  await eventually('it says that it is drained', async () => (await verdict()) === 'drained');
  for (const id of ['id-1', 'id-50', 'id-99']) await isAlive(id);
});

test('it is resumed, and has its share again by itself', async () => {
  expect((await runCli(stack, 'node', 'resume', 'worker-2')).status).toBe(0);
  await eventually('it has its share', () => isEven());
});

test('a target is kept to, and taken back', async () => {
  await longwatch.node('worker-3').target(1);
  await eventually('it has one pool', async () => (await pools())['worker-3'] === 1);
  await longwatch.node('worker-3').target(null);
  await eventually('it has its share', () => isEven());
});

test('it comes to rest: then there is nothing to balance', async () => {
  await eventually('nothing is left to move', async () => {
    const { status, out } = await runCli(stack, 'rebalance', '--dry-run');
    return status === 0 && out.includes('nothing to move: each node has its share');
  });
});

test('many moves at once, 16 in flight: two nodes change their pools', async () => {
  const connections = new Connections(
    {
      temporal: { address: stack.servers.temporalAddress, namespace: stack.servers.namespace },
      databaseUrl: stack.servers.databaseUrl,
    },
    { actor: 'test', via: 'client' },
  );
  try {
    // The third one would ask for pools of a node that has more than its share for a moment, and they are to arrive.
    const third = (await pools())['worker-3']!;
    await longwatch.node('worker-3').target(third);
    await eventually('it goes by its target', async () => {
      const [row] = await stack.sql<{ places: number | null }>(
        `select (placement ->> 'places')::int as places from longwatch.node where name = 'worker-3'`,
      );
      return row!.places === third;
    });
    const of = async (name: string) =>
      (await things().pools()).filter(({ node }) => node === name).map(({ pool }) => pool);
    const [first, second] = [await of('worker-1'), await of('worker-2')];
    const moves = (pools: number[], from: string, to: string) =>
      pools.map((pool) => ({ tracker: 'things', pool, from, to }));
    const seen: number[] = [];
    const { moved, failed } = await carryOut(
      connections,
      [...moves(first, 'worker-1', 'worker-2'), ...moves(second, 'worker-2', 'worker-1')],
      { onProgress: (done) => seen.push(done) },
    );
    expect([failed, moved]).toEqual([[], first.length + second.length]);
    expect(seen.at(-1)).toBe(moved);
    await longwatch.node('worker-3').target(null);
  } finally {
    await connections.close();
  }
});

test('a rolling restart, as docs/cluster.md has it: no pool waits for a heartbeat that nobody sends', async () => {
  const restarts = async () =>
    Object.fromEntries((await longwatch.nodes()).nodes.map(({ name, use }) => [name, use?.minute.restarts]));
  for (const name of NAMES) {
    expect((await runCli(stack, 'node', 'drain', name, '--wait', '--for', '10m', '--why', 'a release')).status).toBe(0);
    await workers.get(name)!.kill('SIGTERM');
    await begin(name);
    expect((await runCli(stack, 'node', 'resume', name)).status).toBe(0);
    await eventually(`${name} has its share`, () => isEven());
    expect(await restarts()).toEqual({ 'worker-1': 0, 'worker-2': 0, 'worker-3': 0 });
  }
  const gaps = [...asked.values()].map((times) => Math.max(...times.map((at, i) => at - (times[i - 1] ?? at))));
  expect(gaps).toHaveLength(IDS.length);
  // For people: on a busy machine it says more of the machine than of the cluster.
  process.stderr.write(`the longest that an id at 500 ms was not asked: ${Math.max(...gaps)} ms\n`);
});

test('a node that is killed is gone, its ids are alive elsewhere; the next one of its name is drained as it was', async () => {
  await longwatch.node('worker-1').weight(0.5);
  await workers.get('worker-1')!.kill('SIGKILL');
  await eventually('it is gone', async () => (await longwatch.node('worker-1').report()).verdict.word === 'gone');
  await eventually('the others have all', () => isEven(['worker-2', 'worker-3']));
  await longwatch.node('worker-1').drain({ why: 'not yet' });
  await begin('worker-1');
  await eventually('it is there', async () => (await longwatch.node('worker-1').report()).alive);
  expect(await longwatch.node('worker-1').report()).toMatchObject({ drained: true, pools: 0, weight: 0.5 });
  await longwatch.node('worker-1').resume();
  await eventually('it fills, as far as it counts', async () => (await pools())['worker-1']! > 0);
});
