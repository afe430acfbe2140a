/**
 * The `dev` hook: `longwatch dev --config examples/blocks/longwatch.config.ts` makes the tables and, without `RPC_URL`,
 * starts a node with a block every second. Exported by `longwatch.config.ts`.
 */
import type { DevHook } from 'longwatch';
import { startAnvil } from './node/anvil';
import { Traffic } from './node/traffic';
import { migrateTables } from './store/migrate';

const HISTORY = 200;
const BLOCK_MS = 1_000;

export const dev: DevHook = {
  start: async ({ log, databaseUrl }) => {
    if (databaseUrl === undefined) throw new TypeError('DATABASE_URL is not set: where the tables are');
    await migrateTables(databaseUrl, log);
    const before = { rpc: process.env.RPC_URL, database: process.env.DATABASE_URL };
    setEnvironment('DATABASE_URL', databaseUrl);
    const node = before.rpc ? undefined : await startNode();
    if (node) setEnvironment('RPC_URL', node.url);
    return {
      stop: async () => {
        setEnvironment('RPC_URL', before.rpc);
        setEnvironment('DATABASE_URL', before.database);
        await node?.stop();
      },
      lines: [`Node         ${node?.url ?? 'RPC_URL'}`],
    };
  },
  trackers: { chain: { ids: ['head'] } },
};

async function startNode(): Promise<{ url: string; stop: () => Promise<void> }> {
  const anvil = await startAnvil();
  const traffic = await Traffic.start(anvil);
  await traffic.mine(HISTORY);
  const stop = traffic.run(BLOCK_MS);
  return {
    url: anvil.url,
    stop: async () => {
      await stop();
      await anvil.stop();
    },
  };
}

function setEnvironment(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}
