/**
 * The bare limit of indexing a chain: batched JSON-RPC and COPY into the same tables, and nothing else. It trusts the
 * node, knows no reorganisation, and starts from the beginning when it fails. Called by `bare-process.ts`.
 */
import { finished } from 'node:stream/promises';
import { Pool as PgPool, type PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { Pool } from 'undici';

export interface BareSetup {
  url: string;
  databaseUrl: string;
  /** From 0. */
  blocks: number;
  /** Blocks in one request. */
  batch: number;
  /** Batches under way at once. */
  atOnce: number;
}

interface RawLog {
  logIndex: string;
  transactionIndex: string;
  address: string;
  topics: string[];
  data: string;
}
interface RawReceipt {
  transactionIndex: string;
  status: string;
  gasUsed: string;
  effectiveGasPrice: string;
  contractAddress: string | null;
  logs: RawLog[];
}
type Raw = Record<string, string>;
type RawBlock = Raw & { transactions: Raw[] };

/** @returns seconds. */
export async function bareIndex({ url, databaseUrl, blocks, batch, atOnce }: BareSetup): Promise<number> {
  const http = new Pool(url, { connections: 2 * atOnce });
  const database = new PgPool({ connectionString: databaseUrl, max: atOnce });
  let next = blocks;
  const work = async (): Promise<void> => {
    while (next > 0) {
      const to = next - 1;
      const from = (next = Math.max(0, next - batch));
      const [found, receipts] = await Promise.all([
        ask<RawBlock>(http, 'eth_getBlockByNumber', from, to, true),
        ask<RawReceipt[]>(http, 'eth_getBlockReceipts', from, to),
      ]);
      await write(database, found, receipts);
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: atOnce }, work));
  const seconds = (performance.now() - began) / 1_000;
  await http.destroy();
  await database.end();
  return seconds;
}

async function ask<T>(http: Pool, method: string, from: number, to: number, ...more: unknown[]): Promise<T[]> {
  const calls = [];
  for (let n = from; n <= to; n++)
    calls.push({ jsonrpc: '2.0', id: n, method, params: [`0x${n.toString(16)}`, ...more] });
  const headers = { 'content-type': 'application/json' };
  const { body } = await http.request({ method: 'POST', path: '/', headers, body: JSON.stringify(calls) });
  const answers = (await body.json()) as { id: number; result: T }[];
  return answers.sort((a, b) => a.id - b.id).map(({ result }) => result);
}

async function write(database: PgPool, blocks: RawBlock[], receipts: RawReceipt[][]): Promise<void> {
  let [b, t, r, l] = ['', '', '', ''];
  blocks.forEach((block, k) => {
    const number = int(block.number!);
    const { hash, parentHash, miner, stateRoot, extraData, transactions } = block;
    const minedAt = new Date(int(block.timestamp!) * 1_000).toISOString();
    b +=
      `${number}\t${hex(hash)}\t${hex(parentHash)}\t${minedAt}\t${hex(miner)}\t${hex(stateRoot)}\t${int(block.gasLimit!)}\t` +
      `${int(block.gasUsed!)}\t${wei(block.baseFeePerGas)}\t${int(block.size!)}\t${hex(extraData)}\t${transactions.length}\t0\n`;
    for (const each of transactions) {
      t +=
        `${number}\t${int(each.transactionIndex!)}\t${hex(each.hash)}\t${int(each.type!)}\t${hex(each.from)}\t${hex(each.to)}\t` +
        `${int(each.nonce!)}\t${wei(each.value)}\t${int(each.gas!)}\t${wei(each.gasPrice)}\t${wei(each.maxFeePerGas)}\t` +
        `${wei(each.maxPriorityFeePerGas)}\t${hex(each.input)}\n`;
    }
    for (const each of receipts[k]!) {
      r +=
        `${number}\t${int(each.transactionIndex)}\t${each.status === '0x1' ? 't' : 'f'}\t${int(each.gasUsed)}\t` +
        `${wei(each.effectiveGasPrice)}\t${hex(each.contractAddress)}\n`;
      for (const { logIndex, transactionIndex, address, topics, data } of each.logs) {
        l +=
          `${number}\t${int(logIndex)}\t${int(transactionIndex)}\t${hex(address)}\t${hex(topics[0])}\t${hex(topics[1])}\t` +
          `${hex(topics[2])}\t${hex(topics[3])}\t${hex(data)}\n`;
      }
    }
  });
  const connection = await database.connect();
  try {
    await connection.query('begin');
    await copy(connection, 'block', b);
    await copy(connection, 'transaction', t);
    await copy(connection, 'receipt', r);
    await copy(connection, 'log', l);
    await connection.query('commit');
  } finally {
    connection.release();
  }
}

async function copy(connection: PoolClient, table: string, text: string): Promise<void> {
  const stream = connection.query(copyFrom(`copy chain.${table} from stdin`));
  stream.end(text);
  await finished(stream);
}

const int = (value: string): number => parseInt(value, 16);
const wei = (value: string | undefined): string => (value === undefined ? '\\N' : BigInt(value).toString());
const hex = (value: string | null | undefined): string => (value == null ? '\\N' : `\\\\${value.slice(1)}`);
