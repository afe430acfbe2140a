/** A node, a PostgreSQL and the indexer between them, for the tests of this folder. No Temporal. */
import { rmSync } from 'node:fs';
import { pino } from 'pino';
import { check } from '../../../examples/blocks/check';
import { BlockIndexer, type IndexedBlocks } from '../../../examples/blocks/index/blocks';
import { ReceiptIndexer } from '../../../examples/blocks/index/receipts';
import { type Anvil, startAnvil } from '../../../examples/blocks/node/anvil';
import { Traffic } from '../../../examples/blocks/node/traffic';
import { Chain } from '../../../examples/blocks/rpc/chain';
import { counts } from '../../../examples/blocks/store/gaps';
import { Database } from '../../../examples/blocks/store/database';
import { migrateTables } from '../../../examples/blocks/store/migrate';
import { startDevServers } from '../../../workers/dev/servers';
import { freePort } from '../../../workers/metrics';
import { temporaryFolder } from '../../../workers/dev/temporary';

export class Kit {
  readonly blocks: BlockIndexer;
  readonly receipts: ReceiptIndexer;

  private constructor(
    readonly anvil: Anvil,
    readonly traffic: Traffic,
    readonly chain: Chain,
    readonly database: Database,
    private readonly closers: (() => unknown)[],
  ) {
    this.blocks = new BlockIndexer(chain, database, 0);
    this.receipts = new ReceiptIndexer(chain, database);
  }

  static async start(): Promise<Kit> {
    const dir = temporaryFolder('blocks');
    const closers: (() => unknown)[] = [() => rmSync(dir, { recursive: true, force: true })];
    try {
      const { database } = await startTables(dir, closers);
      const anvil = await startAnvil();
      closers.push(() => anvil.stop());
      const chain = new Chain({ url: anvil.url });
      closers.push(() => chain.close());
      return new Kit(anvil, await Traffic.start(anvil), chain, database, closers);
    } catch (error) {
      await end(closers);
      throw error;
    }
  }

  /** Blocks and their receipts, until nothing is left to ask for. */
  async index(numbers: readonly number[]): Promise<IndexedBlocks> {
    const done = await this.blocks.index(numbers);
    const again = done.failed.map(({ number }) => number);
    if (again.length > 0) await this.index(again);
    await this.receipts.index(done.awaiting);
    return done;
  }

  async head(): Promise<number> {
    return this.chain.headNumber();
  }

  /** Fails with what differs. */
  async agree(): Promise<number> {
    const head = await this.head();
    const { blocks, differences } = await check(this.chain, this.database, 0, head);
    expect(differences).toEqual([]);
    // Nor is there anything above.
    expect((await counts(this.database.pool)).top).toBe(head);
    return blocks;
  }

  async empty(): Promise<void> {
    await this.database.pool.query(
      'truncate chain.block, chain.transaction, chain.receipt, chain.log, chain.awaiting_receipts',
    );
  }

  async close(): Promise<void> {
    await end(this.closers);
  }
}

/** A PostgreSQL with the example's tables, and a connection to it. */
export async function startTables(
  dir: string,
  closers: (() => unknown)[],
): Promise<{ database: Database; databaseUrl: string }> {
  // No Temporal: an address is given, and nobody calls it.
  const ports = { postgres: await freePort() };
  const servers = await startDevServers({ dir, temporalAddress: '127.0.0.1:1', ui: false, ports });
  closers.push(() => servers.stop());
  await migrateTables(servers.databaseUrl, pino({ level: 'silent' }));
  const database = new Database(servers.databaseUrl);
  closers.push(() => database.close());
  return { database, databaseUrl: servers.databaseUrl };
}

/** The last first. */
export async function end(closers: (() => unknown)[]): Promise<void> {
  for (const close of closers.reverse()) await close();
}

/** From one number to another, both included. */
export const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, k) => from + k);
