/**
 * A chain of 20,000 blocks with transactions, indexed into PostgreSQL by the example `blocks`: from the start of its
 * buffers to the last row, beside a bare loop of batched RPC and COPY from the same node into the same tables. Both in
 * turns, more than once: the better time of each counts, since a busy machine makes either slower and neither faster.
 */
import path from 'node:path';
import { pino } from 'pino';
import { loadConfig } from '../../config/load';
import { check } from '../../examples/blocks/check';
import { type Anvil, startAnvil } from '../../examples/blocks/node/anvil';
import { Traffic } from '../../examples/blocks/node/traffic';
import { Chain } from '../../examples/blocks/rpc/chain';
import { Database } from '../../examples/blocks/store/database';
import { migrateTables } from '../../examples/blocks/store/migrate';
import type { BareSetup } from '../blocks/bare';
import type { Bench } from '../harness/bench';
import { defineScenario } from '../harness/scenario';

const BLOCKS = 20_000;
const ROUNDS = 3;
const CONFIG = path.join(__dirname, '../../examples/blocks/longwatch.config.ts');
/** The settings that served the bare loop best here. */
const BATCH = 250;
const AT_ONCE = 4;

/**
 * Waits in PostgreSQL until all is there, a second at most: looks from this process would take their part of the cores
 * that are measured. Block 0 comes with the last ones, so that a look is one probe of an index until then.
 */
const ALL_THERE = `
  create function public.bench_all_there(blocks bigint) returns boolean language plpgsql as $$
  begin
    for look in 1..50 loop
      if exists (select from chain.block where number = 0) then
        if not exists (select from chain.awaiting_receipts) and (select count(*) = blocks from chain.block) then
          return true;
        end if;
      end if;
      perform pg_sleep(0.02);
    end loop;
    return false;
  end $$`;

export const scenario = defineScenario({
  title: `a chain of ${BLOCKS.toLocaleString('en-US')} blocks into PostgreSQL, beside a bare loop of batched RPC and COPY`,
  async run(bench) {
    const anvil = await startAnvil(['--prune-history']);
    bench.defer(() => anvil.stop());
    await makeChain(bench, anvil);
    const rounds: Round[] = [];
    while (rounds.length < ROUNDS) {
      bench.say(`round ${rounds.length + 1} of ${ROUNDS}`);
      const round = await runRound(bench, anvil.url);
      bench.say(`bare ${round.bare.toFixed(2)} s, ours ${round.ours.toFixed(2)} s`);
      rounds.push(round);
    }
    const { transactions, logs } = rounds[0]!;
    return [
      {
        measure: 'blocks with their receipts and logs',
        ours: BLOCKS / Math.min(...rounds.map(({ ours }) => ours)),
        unit: '/s',
        reference: BLOCKS / Math.min(...rounds.map(({ bare }) => bare)),
        referenceName: 'bare RPC and COPY',
        target: 'ratio >= 0.80',
        note:
          `${transactions.toLocaleString('en-US')} transactions, ${logs.toLocaleString('en-US')} logs; the best of ${ROUNDS} ` +
          'rounds, each; ours from the start of the buffers on, every row compared with the node afterwards',
      },
    ];
  },
});

/** Minutes: each block costs anvil a little more than the one before it. */
async function makeChain(bench: Bench, anvil: Anvil): Promise<void> {
  const traffic = await Traffic.start(anvil);
  for (let made = 2; made < BLOCKS;) {
    bench.signal.throwIfAborted();
    const more = Math.min(500, BLOCKS - made);
    await traffic.mine(more);
    made += more;
    if (made % 5_000 < 500)
      bench.say(`${made.toLocaleString('en-US')} of ${BLOCKS.toLocaleString('en-US')} blocks made`);
  }
}

/** Seconds, and what is in the tables. */
interface Round {
  bare: number;
  ours: number;
  transactions: number;
  logs: number;
}

/** On servers of its own, empty ones. @throws where the tables are not the chain afterwards. */
async function runRound(bench: Bench, url: string): Promise<Round> {
  const stack = await bench.stack();
  const { databaseUrl } = stack.servers;
  await migrateTables(databaseUrl, pino({ level: 'silent' }));
  const database = new Database(databaseUrl, { connections: 2 });
  bench.defer(() => database.close());
  await database.pool.query(ALL_THERE);

  const child = await bench.child(path.join(__dirname, '../blocks/bare-process.ts'));
  const setup: BareSetup = { url, databaseUrl, blocks: BLOCKS, batch: BATCH, atOnce: AT_ONCE };
  const bare = await child.call<number>('index', setup);
  await database.pool.query(
    'truncate chain.block, chain.transaction, chain.receipt, chain.log, chain.awaiting_receipts',
  );

  const worker = stack.workerProcess(CONFIG, { RPC_URL: url });
  await worker.ready;
  const longwatch = await stack.connect();
  const { config } = await loadConfig(CONFIG);
  const began = performance.now();
  // Side by side, as `longwatch dev` has them.
  await Promise.all(config.buffers.map(({ name, options }) => longwatch.buffer(name).start(options)));
  await bench.until('all rows are there', async () => {
    const { rows } = await database.pool.query<{ done: boolean }>('select public.bench_all_there($1) as done', [
      BLOCKS,
    ]);
    return rows[0]!.done;
  });
  const ours = (performance.now() - began) / 1_000;
  await worker.kill('SIGTERM');

  const chain = new Chain({ url });
  const { differences, ...rows } = await check(chain, database, 0, BLOCKS - 1).finally(() => chain.close());
  if (differences.length > 0) throw new Error(`the tables are not the chain: ${differences[0]}`);
  return { bare, ours, ...rows };
}
