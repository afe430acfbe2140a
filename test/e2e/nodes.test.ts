/**
 * Three workers as processes on the real servers: a newcomer gets its share, a drained node gives all, a killed one's
 * pools come back, one that ends hands its pools on; and an id is never asked for by two at once.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { resolveConfig } from '../../config/resolve/config';
import type { Longwatch } from '../../client/longwatch';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './fixtures/nodes.config';

const FILE = path.join(__dirname, 'fixtures/nodes.config.ts');
const IDS = Array.from({ length: 240 }, (_, i) => `id-${i}`);

let stack: Stack;
let longwatch: Longwatch;
let upstream: Server;
let url: string;
interface Asked {
  node: string;
  response: ServerResponse;
  /** Later requests for the same id, that came before this one had its answer. */
  besides: Asked[];
}
/** By id: the request that is not answered yet. */
const asking = new Map<string, Asked>();
/** By id and the two nodes: how often both asked at once. */
const twice = new Map<string, number>();
const askedAt = new Map<string, number>();

beforeAll(async () => {
  upstream = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url!, 'http://upstream');
    const [id, node] = [pathname.slice(1), searchParams.get('node')!];
    const asked: Asked = { node, response, besides: [] };
    asking.get(id)?.besides.push(asked);
    asking.set(id, asked);
    askedAt.set(id, performance.now());
    const over = () => asking.get(id) === asked && asking.delete(id);
    response.on('close', over);
    void delay(20).then(() => {
      over();
      // A worker that was killed, or has given it up, asks no more. This process hears so late if it stood still, and
      // of the later request first.
      if (response.destroyed) return;
      const others = asked.besides.filter((other) => !other.response.destroyed);
      for (const other of others) {
        const pair = `${id} by ${[node, other.node].sort().join(' and ')}`;
        twice.set(pair, (twice.get(pair) ?? 0) + 1);
      }
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ node }));
    });
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(async () => {
  await stack?.close();
  upstream.close();
  upstream.closeAllConnections();
});

const worker = (name: string): WorkerProcess => stack.workerProcess(FILE, { LONGWATCH_NODE: name, UPSTREAM: url });

/** The load of each node: ten for a pool, and two fetches a second for each member. */
async function loads(): Promise<Record<string, number>> {
  const rows = await stack.sql<{ node: string; load: number }>(
    `select node, sum(10 + 2 * members)::float8 as load from longwatch.pool where released_at is null and token > 0
     group by node`,
  );
  return Object.fromEntries(rows.map(({ node, load }) => [node, load]));
}

/** Each of these has its share of all within the band and a pool; nobody else has any. */
async function even(...names: string[]): Promise<void> {
  const [whole] = await stack.sql<{ load: number; pool: number }>(
    `select sum(10 + 2 * members)::float8 as load, max(10 + 2 * members)::float8 as pool from longwatch.pool`,
  );
  const { load, pool } = whole!;
  const share = load / names.length;
  let last: Record<string, number> = {};
  const isEven = async () => {
    last = await loads();
    const all = Object.values(last).reduce((sum, one) => sum + one, 0);
    const fair = names.every((name) => Math.abs((last[name] ?? 0) - share) <= share / 10 + pool / 2);
    return all === load && fair && Object.keys(last).every((name) => names.includes(name));
  };
  await eventually(`${names.join(', ')} have even shares`, isEven, 300_000).catch((error: unknown) => {
    throw new Error(`not even, of ${load}: ${JSON.stringify(last)}`, { cause: error });
  });
}

/**
 * A pool that is handed on has ended where it was. One that is taken from its keeper, which was late on a busy machine,
 * is still asked there until the next flush, whose results are refused: some ids, for a round or some.
 */
function expectNoneTwice(): void {
  expect([...twice].filter(([, times]) => times > 5)).toEqual([]);
  expect([...twice.keys()].length).toBeLessThan(IDS.length / 4);
}

test('a newcomer has its share, drain empties, kill brings pools back, nobody is asked for by two', async () => {
  const one = worker('one');
  await one.ready;
  const tracker = longwatch.tracker('shared');
  await tracker.start(resolveConfig(config).trackers[0]!.options);
  await tracker.add(IDS, { wait: true });
  await even('one');
  const two = worker('two');
  await two.ready;
  await even('one', 'two');
  const three = worker('three');
  await three.ready;
  await even('one', 'two', 'three');

  await stack.sql(`update longwatch.node set drained_at = now() where name = 'three'`);
  await even('one', 'two');
  await stack.sql(`update longwatch.node set drained_at = null where name = 'three'`);
  await even('one', 'two', 'three');
  expectNoneTwice();

  await two.kill('SIGKILL');
  await even('one', 'three');
  await three.kill('SIGTERM');
  await even('one');
  const now = performance.now();
  await eventually('all are asked for again', () => IDS.every((id) => (askedAt.get(id) ?? 0) > now));
  expectNoneTwice();
});
