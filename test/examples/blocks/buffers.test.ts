/** The example as it runs: tracker, buffers and workers on real servers and a real node, on its bad days. */
import path from 'node:path';
import { pino } from 'pino';
import type { Longwatch } from '../../../client/longwatch';
import { check } from '../../../examples/blocks/check';
import { Head } from '../../../examples/blocks/index/head';
import { type Anvil, startAnvil } from '../../../examples/blocks/node/anvil';
import { Traffic } from '../../../examples/blocks/node/traffic';
import { Chain } from '../../../examples/blocks/rpc/chain';
import { Database } from '../../../examples/blocks/store/database';
import { counts, missingBlocks } from '../../../examples/blocks/store/gaps';
import { migrateTables } from '../../../examples/blocks/store/migrate';
import { eventually, Stack } from '../../support/stack';
import { FAULTS, startFaultyProxy } from './faulty-proxy';
import { startExample } from './start-example';

const CONFIG = path.join(__dirname, '../../../examples/blocks/longwatch.config.ts');

let stack: Stack;
let anvil: Anvil;
let traffic: Traffic;
let chain: Chain;
let database: Database;
let longwatch: Longwatch;
const closers: (() => unknown)[] = [];

beforeEach(async () => {
  stack = await Stack.start();
  closers.push(() => stack.close());
  await migrateTables(stack.servers.databaseUrl, pino({ level: 'silent' }));
  database = new Database(stack.servers.databaseUrl, { connections: 2 });
  closers.push(() => database.close());
  anvil = await startAnvil();
  closers.push(() => anvil.stop());
  traffic = await Traffic.start(anvil);
  await traffic.mine(300);
  chain = new Chain({ url: anvil.url });
  closers.push(() => chain.close());
  longwatch = await stack.connect();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** All of the chain is indexed, as far as the tables know; then every row is compared. */
async function agree(): Promise<void> {
  const head = new Head(chain, database, 0);
  const to = await chain.headNumber();
  await eventually('all is indexed', async () => {
    const { wanted } = await head.look();
    const { awaiting } = await counts(database.pool);
    return wanted.length === 0 && awaiting === 0 && (await missingBlocks(database.pool, 0, to, 1)).length === 0;
  });
  expect((await check(chain, database, 0, to)).differences).toEqual([]);
  for (const name of ['blocks', 'receipts']) {
    expect(await longwatch.buffer(name).status()).toMatchObject({ dead: 0 });
  }
}

const stored = (least: number) =>
  eventually(`${least} blocks are stored`, async () => (await counts(database.pool)).blocks >= least);

test('reorganisations of depth 1, 7 and 60 in the middle of indexing, while the chain grows and a worker is killed', async () => {
  const env = { RPC_URL: anvil.url };
  const first = stack.workerProcess(CONFIG, env);
  const second = stack.workerProcess(CONFIG, env);
  await Promise.all([first.ready, second.ready]);
  const stop = traffic.run(100);
  await startExample(longwatch);
  await stored(1);
  await traffic.reorganise(1);
  await stored(150);
  await traffic.reorganise(7);
  await first.kill('SIGKILL');
  await traffic.reorganise(60);
  await stored(300);
  await traffic.reorganise(7);
  await stop();
  await agree();
});

test('a node that answers every other request wrongly: all is indexed, and nothing is dead', async () => {
  const proxy = await startFaultyProxy(anvil.url);
  closers.push(() => proxy.close());
  const worker = stack.workerProcess(CONFIG, { RPC_URL: proxy.url });
  await worker.ready;
  await startExample(longwatch);
  await traffic.mine(20);
  await traffic.reorganise(7);
  await eventually('each fault was shown', () => FAULTS.every((fault) => proxy.shown[fault] > 0));
  await agree();
});
