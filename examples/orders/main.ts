/**
 * `npm run example -- orders [--orders 500] [--workers 3] [--kill-every
 * 2s]`: places orders, some of which fail, hang or take their worker down, while workers are killed at random; then
 * checks the books, and ends with 0 only if they are balanced.
 */
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Client, Connection, WorkflowFailedError } from '@temporalio/client';
import { bundleWorkflows, migrate } from 'longwatch/worker';
import { Pool } from 'pg';
import { pino } from 'pino';
import { parseDuration } from '../../config/values';
import { startDevServers } from '../../workers/dev/servers';
import { Workers } from '../workers';
import type { Order, Step, Trouble } from './activities';
import { checkBooks, crashes, CUSTOMERS, ITEMS, openBooks } from './books';
import { temporaryFolder } from '../../workers/dev/temporary';
import { TASK_QUEUE } from '../../workflows/lib/contract';

/** Orders that are open at once. */
const AT_ONCE = 30;

interface Flags {
  orders: number;
  workers: number;
  killEveryMs: number | undefined;
}

function readFlags(): Flags {
  const { values } = parseArgs({
    options: {
      orders: { type: 'string', default: '500' },
      workers: { type: 'string', default: '3' },
      'kill-every': { type: 'string' },
    },
  });
  const whole = (name: 'orders' | 'workers', most: number): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new TypeError(`--${name} must be a whole number from 1 to ${most}`);
    }
    return value;
  };
  const every = values['kill-every'];
  const killEveryMs = every === undefined ? undefined : parseDuration(every);
  if (every !== undefined && (killEveryMs === undefined || killEveryMs < 200)) {
    throw new TypeError("--kill-every must be a duration of at least 200 ms, such as '2s'");
  }
  return { orders: whole('orders', 100_000), workers: whole('workers', 16), killEveryMs };
}

const STEPS: readonly Step[] = ['pay', 'reserve', 'ship'];

/** One order in five has some trouble. */
function makeOrder(index: number): Order {
  const order: Order = {
    id: String(index),
    customer: `customer ${1 + (index % CUSTOMERS)}`,
    item: `item ${1 + (index % ITEMS)}`,
    price: 1 + ((index * 37) % 500),
  };
  const step = STEPS[index % 3]!;
  const kinds: Record<number, Trouble> = { 3: 'fail', 8: 'fail', 13: 'hang', 17: 'crash' };
  const kind = kinds[index % 20];
  // A crash takes all with it that its worker runs: one order in sixty is enough of it.
  if (kind === undefined || (kind === 'crash' && index % 60 !== 17)) return order;
  return { ...order, trouble: { step, kind } };
}

async function placeOrders(client: Client, orders: number): Promise<[Map<string, number>, Map<string, number>]> {
  const shipped = new Map<string, number>();
  const undone = new Map<string, number>();
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < orders) {
      const order = makeOrder(next++);
      const options = {
        taskQueue: TASK_QUEUE,
        workflowId: `order-${order.id}`,
        args: [order] as [Order],
        // A worker that dies with a piece of workflow code delays it by this (10 s by default).
        workflowTaskTimeout: '3s',
      } as const;
      try {
        await client.workflow.execute('order', options);
        shipped.set(order.id, order.price);
      } catch (error) {
        if (!(error instanceof WorkflowFailedError)) throw error;
        undone.set(order.id, order.price);
      }
      if ((shipped.size + undone.size) % 100 === 0) console.log(`${shipped.size + undone.size} orders are through`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, orders) }, one));
  return [shipped, undone];
}

async function main(): Promise<void> {
  const flags = readFlags();
  const folder = temporaryFolder('orders');
  const log = pino({ level: 'error' }, pino.destination({ fd: 2, sync: true }));
  const servers = await startDevServers({ dir: path.join(folder, 'servers'), ui: false, log });
  const { databaseUrl, temporalAddress } = servers;
  const bundle = path.join(folder, 'workflows.js');
  const workers = new Workers(path.join(__dirname, 'worker.ts'), {
    TEMPORAL_ADDRESS: temporalAddress,
    DATABASE_URL: databaseUrl,
    ORDERS_BUNDLE: bundle,
  });
  const pool = new Pool({ connectionString: databaseUrl, max: 2 });
  pool.on('error', () => undefined);
  try {
    await migrate(databaseUrl, log);
    await openBooks(pool);
    writeFileSync(bundle, await bundleWorkflows(path.join(__dirname, 'workflows.ts'), log));
    await Promise.all(Array.from({ length: flags.workers }, () => workers.start()));
    const connection = await Connection.connect({ address: temporalAddress });
    const killer =
      flags.killEveryMs === undefined ? undefined : setInterval(() => workers.killOne(), flags.killEveryMs);
    const began = performance.now();
    const [shipped, undone] = await placeOrders(new Client({ connection }), flags.orders).finally(() => {
      clearInterval(killer);
    });
    const seconds = (performance.now() - began) / 1_000;
    await connection.close();

    console.log(`\n${flags.orders} orders in ${seconds.toFixed(1)} s: ${shipped.size} shipped, ${undone.size} undone`);
    const { interrupted, parcelsAskedAgain } = await crashes(pool);
    console.log(
      `${workers.deaths} workers died; ${interrupted} activities took more than one attempt, ` +
        `${parcelsAskedAgain} parcels were asked for again\n`,
    );
    const lines = await checkBooks(pool, shipped, undone);
    for (const { what, holds } of lines) console.log(`${holds ? 'ok  ' : 'NOT '} ${what}`);
    const balanced = lines.every(({ holds }) => holds) && shipped.size + undone.size === flags.orders;
    console.log(balanced ? '\nall balanced' : '\nthe books are not balanced');
    process.exitCode = balanced ? 0 : 1;
  } finally {
    await workers.stop();
    await pool.end();
    await servers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    console.error((error as Error).message);
    process.exit(error instanceof TypeError ? 2 : 1);
  },
);
