/**
 * `npm run example -- blocks [--blocks 400] [--for 20] [--reorgs 1,7,60] [--workers 2] [--kill-every
 * 3s]`: indexes a chain that grows and is reorganised meanwhile, then compares every row with the node, and ends with 0
 * only if all agree. With `RPC_URL` it is that node's chain, from its last `--blocks` blocks on.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, type Longwatch } from 'longwatch';
import { loadConfig, migrate } from 'longwatch/worker';
import { pino } from 'pino';
import { parseDuration } from '../../config/values';
import { startDevServers } from '../../workers/dev/servers';
import { Workers } from '../workers';
import { check } from './check';
import { Head } from './index/head';
import { startAnvil } from './node/anvil';
import { Traffic } from './node/traffic';
import { Chain } from './rpc/chain';
import { Database } from './store/database';
import { type Counts, counts, missingBlocks } from './store/gaps';
import { migrateTables } from './store/migrate';
import { temporaryFolder } from '../../workers/dev/temporary';

const BLOCK_MS = 500;
/** From the last block to the last row. */
const SETTLE_MS = 5 * 60_000;

interface Flags {
  blocks: number;
  forMs: number;
  reorgs: number[];
  workers: number;
  killEveryMs: number | undefined;
}

function readFlags(): Flags {
  const { values } = parseArgs({
    options: {
      blocks: { type: 'string', default: '400' },
      for: { type: 'string', default: '20' },
      reorgs: { type: 'string', default: '1,7,60' },
      workers: { type: 'string', default: '2' },
      'kill-every': { type: 'string' },
    },
  });
  const whole = (flag: string, text: string, least: number, most: number): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new TypeError(`--${flag} must be a whole number from ${least} to ${most}`);
    }
    return value;
  };
  const every = values['kill-every'];
  const killEveryMs = every === undefined ? undefined : parseDuration(every);
  if (every !== undefined && (killEveryMs === undefined || killEveryMs < 500)) {
    throw new TypeError("--kill-every must be a duration of at least 500 ms, such as '3s'");
  }
  const blocks = whole('blocks', values.blocks, 1, 1_000_000);
  const reorgs = values.reorgs === '' ? [] : values.reorgs.split(',').map((depth) => whole('reorgs', depth, 1, blocks));
  const workers = whole('workers', values.workers, 1, 16);
  return { blocks, forMs: whole('for', values.for, 1, 86_400) * 1_000, reorgs, workers, killEveryMs };
}

/** The chain that is indexed: the node, from which block, and what is done to it meanwhile. */
interface Subject {
  url: string;
  first: number;
  /** Lives for so long; resolves when its last block is there. */
  live(forMs: number): Promise<void>;
  stop(): Promise<void>;
}

async function ownNode({ blocks, reorgs }: Flags): Promise<Subject> {
  const anvil = await startAnvil();
  console.log(`anvil runs at ${anvil.url}; ${blocks} blocks with transactions are made`);
  const traffic = await Traffic.start(anvil);
  await traffic.mine(blocks);
  return {
    url: anvil.url,
    first: 0,
    async live(forMs) {
      const stop = traffic.run(BLOCK_MS);
      for (const depth of reorgs) {
        await delay(forMs / (reorgs.length + 1));
        await traffic.reorganise(depth);
        const which = depth === 1 ? 'last block was' : `last ${depth} blocks were`;
        console.log(`the ${which} replaced (anvil_reorg)`);
      }
      await delay(forMs / (reorgs.length + 1));
      await stop();
    },
    stop: () => anvil.stop(),
  };
}

async function givenNode(url: string, { blocks }: Flags): Promise<Subject> {
  const chain = new Chain({ url });
  const head = await chain.headNumber().finally(() => chain.close());
  return { url, first: Math.max(0, head - blocks + 1), live: (forMs) => delay(forMs), stop: async () => undefined };
}

async function startAll(longwatch: Longwatch): Promise<void> {
  const { config } = await loadConfig(path.join(__dirname, 'longwatch.config.ts'));
  for (const { name, options } of config.buffers) await longwatch.buffer(name).start(options);
  const [tracker] = config.trackers;
  await longwatch.tracker(tracker!.name).start(tracker!.options);
  await longwatch.tracker(tracker!.name).add(['head']);
}

function tellProgress(database: Database): () => void {
  const timer = setInterval(() => {
    void counts(database.pool).then(tellCounts, () => undefined);
  }, 2_000);
  return () => clearInterval(timer);
}

function tellCounts({ top, blocks, transactions, receipts, logs, awaiting }: Counts): void {
  const count = (value: number, what: string): string => `${value.toLocaleString('en-US')} ${what}`;
  console.log(
    `up to block ${top ?? '-'}: ${count(blocks, 'blocks')}, ${count(transactions, 'transactions')}, ` +
      `${count(receipts, 'receipts')}, ${count(logs, 'logs')}` +
      (awaiting > 0 ? `; the receipts of ${count(awaiting, 'to come')}` : ''),
  );
}

/** Waits until the tables have all of the chain up to `to`, as far as they know themselves. */
async function settled(head: Head, database: Database, first: number, to: number): Promise<void> {
  const until = Date.now() + SETTLE_MS;
  for (;;) {
    const { wanted } = await head.look();
    const missing = await missingBlocks(database.pool, first, to, 1);
    const { awaiting } = await counts(database.pool, to);
    if (!wanted.some((number) => number <= to) && missing.length === 0 && awaiting === 0) return;
    if (Date.now() > until) throw new Error(`not indexed within ${SETTLE_MS / 1_000} s`);
    await delay(200);
  }
}

async function run(flags: Flags, subject: Subject, folder: string, closers: (() => unknown)[]): Promise<boolean> {
  const log = pino({ level: 'error' }, pino.destination({ fd: 2, sync: true }));
  const servers = await startDevServers({ dir: path.join(folder, 'servers'), ui: false, log });
  closers.push(() => servers.stop());
  const { databaseUrl, temporalAddress, namespace } = servers;
  await migrate(databaseUrl, log);
  await migrateTables(databaseUrl, log);
  const database = new Database(databaseUrl, { connections: 4 });
  closers.push(() => database.close());
  const chain = new Chain({ url: subject.url });
  closers.push(() => chain.close());

  const workers = new Workers(path.join(__dirname, 'worker.ts'), {
    TEMPORAL_ADDRESS: temporalAddress,
    DATABASE_URL: databaseUrl,
    RPC_URL: subject.url,
    FIRST_BLOCK: String(subject.first),
  });
  closers.push(() => workers.stop());
  await Promise.all(Array.from({ length: flags.workers }, () => workers.start()));
  const longwatch = await connect({
    environment: { temporal: { address: temporalAddress, namespace }, databaseUrl },
  });
  closers.push(() => longwatch.close());
  await startAll(longwatch);
  closers.push(tellProgress(database));
  const killer = flags.killEveryMs === undefined ? undefined : setInterval(() => workers.killOne(), flags.killEveryMs);
  await subject.live(flags.forMs).finally(() => clearInterval(killer));

  const to = await chain.headNumber();
  await settled(new Head(chain, database, subject.first), database, subject.first, to);
  const agreement = await check(chain, database, subject.first, to);
  tellCounts(await counts(database.pool, to));
  for (const name of ['blocks', 'receipts']) {
    const { accepted, done, pending, running, merged, dead } = await longwatch.buffer(name).status();
    console.log(
      `buffer ${name}: ${accepted} entries accepted = ${done} handled + ${merged} that newer ones took the place of + ` +
        `${pending + running} left + ${dead} dead`,
    );
  }
  if (workers.deaths > 0) console.log(`${workers.deaths} workers died`);
  for (const difference of agreement.differences) console.error(`not so: ${difference}`);
  const agrees = agreement.differences.length === 0 && agreement.blocks === to - subject.first + 1;
  if (agrees) console.log(`\nchain and tables agree: ${agreement.blocks.toLocaleString('en-US')} blocks`);
  else console.error('\nchain and tables do not agree');
  return agrees;
}

async function main(): Promise<void> {
  const flags = readFlags();
  const folder = temporaryFolder('blocks');
  const closers: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    const url = process.env.RPC_URL;
    const subject = url ? await givenNode(url, flags) : await ownNode(flags);
    closers.push(() => subject.stop());
    process.exitCode = (await run(flags, subject, folder, closers)) ? 0 : 1;
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    console.error((error as Error).message);
    process.exit(error instanceof TypeError ? 2 : 1);
  },
);
