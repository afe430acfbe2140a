/**
 * The node and the tables as the environment says, made at first use, since the config is also loaded where nothing of
 * it runs. Used by `longwatch.config.ts`.
 */
import { connect, type Longwatch } from 'longwatch';
import { BlockIndexer } from './index/blocks';
import { Head } from './index/head';
import { Missing } from './index/missing';
import { ReceiptIndexer } from './index/receipts';
import { Chain } from './rpc/chain';
import { Database } from './store/database';

export interface Services {
  blocks: BlockIndexer;
  receipts: ReceiptIndexer;
  missing: Missing;
  head: Head;
  /** For pushing from one buffer's batch to another buffer. */
  longwatch(): Promise<Longwatch>;
  close(): Promise<void>;
}

let made: Services | undefined;

/**
 * Environment: `RPC_URL`, `DATABASE_URL` (a pooler's where `DIRECT_DATABASE_URL` is another one), `FIRST_BLOCK` (0).
 */
export function services(): Services {
  return (made ??= makeServices());
}

function makeServices(): Services {
  const { RPC_URL: url, DATABASE_URL: databaseUrl, DIRECT_DATABASE_URL: direct } = process.env;
  if (!url) throw new TypeError('RPC_URL is not set: the address of a node, such as http://127.0.0.1:8545');
  if (!databaseUrl) throw new TypeError('DATABASE_URL is not set: where the tables are');
  const first = readFirstBlock();
  const chain = new Chain({ url });
  const database = new Database(databaseUrl, { pooled: !!direct && direct !== databaseUrl });
  let longwatch: Promise<Longwatch> | undefined;
  return {
    blocks: new BlockIndexer(chain, database, first),
    receipts: new ReceiptIndexer(chain, database),
    missing: new Missing(chain, database, first),
    head: new Head(chain, database, first),
    longwatch: () => (longwatch ??= connect()),
    async close() {
      made = undefined;
      await Promise.all([chain.close(), database.close(), longwatch?.then((one) => one.close())]);
    },
  };
}

export function readFirstBlock(text = process.env.FIRST_BLOCK): number {
  if (text === undefined || text === '') return 0;
  if (!/^\d{1,15}$/.test(text)) throw new TypeError('FIRST_BLOCK must be the number of a block');
  return Number(text);
}
