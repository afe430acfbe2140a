/**
 * A chain of 20,000 blocks with transactions, indexed into PostgreSQL by the example `blocks`: from the start of its buffers to the
 * last row, beside a bare loop of batched RPC and COPY from the same node into the same tables.
 */
import path from 'node:path';
import { pino } from 'pino';
import { loadConfig } from '../../workers/config/load';
import { check } from '../../examples/blocks/check';
import { startAnvil } from '../../examples/blocks/node/anvil';
import { Traffic } from '../../examples/blocks/node/traffic';
import { Chain } from '../../examples/blocks/rpc/chain';
import { Database } from '../../examples/blocks/store/database';
import { counts } from '../../examples/blocks/store/gaps';
import { migrateTables } from '../../examples/blocks/store/migrate';
import type { BareSetup } from '../blocks/bare';
import { defineScenario } from '../harness/scenario';

const BLOCKS = 20_000;
const CONFIG = path.join(__dirname, '../../examples/blocks/longwatch.config.ts');
/** What served the bare loop best here. */
const BATCH = 250;
const AT_ONCE = 4;

export const scenario = defineScenario({
  title: `a chain of ${BLOCKS.toLocaleString('en-US')} blocks into PostgreSQL, beside a bare loop of batched RPC and COPY`,
  async run(bench) {
    const stack = await bench.stack();
    const { databaseUrl } = stack.servers;
    await migrateTables(databaseUrl, pino({ level: 'silent' }));
    const database = new Database(databaseUrl, 2);
    bench.defer(() => database.close());
    const anvil = await startAnvil(['--prune-history']);
    bench.defer(() => anvil.stop());
    bench.say(`making ${BLOCKS.toLocaleString('en-US')} blocks`);
    const traffic = await Traffic.start(anvil);
    for (let made = 2; made < BLOCKS;) {
      bench.signal.throwIfAborted();
      const more = Math.min(500, BLOCKS - made);
      await traffic.mine(more);
      made += more;
    }
    const empty = () =>
      database.pool.query('truncate chain.block, chain.transaction, chain.receipt, chain.log, chain.awaiting_receipts');

    const bare = await bench.child(path.join(__dirname, '../blocks/bare-process.ts'));
    const setup: BareSetup = { url: anvil.url, databaseUrl, blocks: BLOCKS, batch: BATCH, atOnce: AT_ONCE };
    const bareSeconds = async (): Promise<number> => {
      await empty();
      bench.say('the bare loop');
      return bare.call<number>('index', setup);
    };
    const before = await bareSeconds();

    await empty();
    const worker = stack.workerProcess(CONFIG, { RPC_URL: anvil.url });
    await worker.ready;
    const longwatch = await stack.connect();
    const { config } = await loadConfig(CONFIG);
    bench.say('the buffers');
    const began = performance.now();
    // Side by side, as `longwatch dev` has them.
    await Promise.all(config.buffers.map(({ name, options }) => longwatch.buffer(name).start(options)));
    await bench.until('all rows are there', async () => {
      // The count, which is not free, only where nothing is awaited.
      const { rows } = await database.pool.query('select from chain.awaiting_receipts limit 1');
      return rows.length === 0 && (await counts(database.pool)).blocks === BLOCKS;
    });
    const ours = (performance.now() - began) / 1_000;
    await worker.kill('SIGTERM');
    const chain = new Chain({ url: anvil.url });
    const { differences, transactions, logs } = await check(chain, database, 0, BLOCKS - 1).finally(() =>
      chain.close(),
    );
    if (differences.length > 0) throw new Error(`the tables are not the chain: ${differences[0]}`);

    // The better one of the two: what was read once is nearer for who comes second.
    const reference = Math.min(before, await bareSeconds());
    return [
      {
        measure: 'blocks with their receipts and logs',
        ours: BLOCKS / ours,
        unit: '/s',
        reference: BLOCKS / reference,
        referenceName: 'bare RPC and COPY',
        target: 'ratio >= 0.80',
        note:
          `${transactions.toLocaleString('en-US')} transactions, ${logs.toLocaleString('en-US')} logs; ours from the start of the ` +
          'buffers on, every row compared with the node afterwards',
      },
    ];
  },
});
