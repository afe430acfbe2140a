/**
 * Chains that are not Ethereum, and nodes that have not all they should: what the blocks lack, what the numbers hold,
 * which receipts are left out. A fake node with each one's manners, the example's indexers, and a real PostgreSQL.
 */
import { rmSync } from 'node:fs';
import type { Json } from 'longwatch';
import { pino } from 'pino';
import { check } from '../../../examples/blocks/check';
import { BlockIndexer } from '../../../examples/blocks/index/blocks';
import { receipts } from '../../../examples/blocks/longwatch.config';
import { ReceiptIndexer } from '../../../examples/blocks/index/receipts';
import { Chain } from '../../../examples/blocks/rpc/chain';
import { services } from '../../../examples/blocks/services';
import { counts } from '../../../examples/blocks/store/gaps';
import { Database } from '../../../examples/blocks/store/database';
import { temporaryFolder } from '../../../workers/dev/temporary';
import { findPgBouncer, Pooler } from '../../growth/pooler';
import { type Call, type FakeNode, resulting, startFakeNode } from './fake-node';
import { end, range, startTables } from './kit';

type Fields = Record<string, Json>;

let database: Database;
let databaseUrl: string;
let dir: string;
let node: FakeNode;
let chain: Chain;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  dir = temporaryFolder('chains');
  closers.push(() => rmSync(dir, { recursive: true, force: true }));
  ({ database, databaseUrl } = await startTables(dir, closers));
});
afterAll(() => end(closers));
beforeEach(async () => {
  node = await startFakeNode();
  node.head = 10;
  chain = new Chain({ url: node.url });
  await database.pool.query(
    'truncate chain.block, chain.transaction, chain.receipt, chain.log, chain.awaiting_receipts',
  );
});
afterEach(async () => {
  await chain.close();
  await node.close();
});

/** Indexes all, as the buffers do. @returns what failed of the blocks and of the receipts. */
async function index(on = database): Promise<{ number: number; message: string }[]> {
  const blocks = await new BlockIndexer(chain, on, 0).index(range(0, node.head));
  const receipts = await new ReceiptIndexer(chain, on).index(blocks.awaiting);
  expect(receipts.changed).toEqual([]);
  return [...blocks.failed, ...receipts.failed].map(({ number, error }) => ({ number, message: error.message }));
}

/** All is stored, and each row is the node's. */
async function agrees(): Promise<void> {
  expect(await index()).toEqual([]);
  const { blocks, differences } = await check(chain, database, 0, node.head);
  expect(differences).toEqual([]);
  expect(blocks).toBe(node.head + 1);
}

/** A chain all of whose blocks, and their only transaction, are so. */
function chainOf(edit: (block: Fields) => Json, transaction: (transaction: Fields) => Json = (each) => each): void {
  node.always = resulting(({ method }, result) => {
    if (method !== 'eth_getBlockByNumber' || result === null) return result;
    const block = edit(result as Fields) as Fields;
    const list = block.transactions as Fields[];
    return { ...block, transactions: list.map(transaction) };
  });
}

const without =
  (...names: string[]) =>
  (fields: Fields): Json =>
    Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));
const withFields =
  (more: Fields) =>
  (fields: Fields): Json => ({ ...fields, ...more });
const same = (fields: Fields): Json => fields;

describe('PU-9: blocks that lack what Ethereum’s have', () => {
  test.each<[string, (block: Fields) => Json, (transaction: Fields) => Json]>([
    ['a state root of 0x (TRON)', withFields({ stateRoot: '0x' }), same],
    ['no miner', withFields({ miner: null }), same],
    ['an empty miner', withFields({ miner: '0x' }), same],
    ['no gas limit', without('gasLimit'), same],
    ['no size', without('size'), same],
    ['nothing that is not needed', without('miner', 'stateRoot', 'gasLimit', 'gasUsed', 'size', 'extraData'), same],
    ['a quantity of 0x', withFields({ gasUsed: '0x', size: '0x' }), same],
    [
      'a hash in capitals',
      (block) => ({ ...block, hash: (block.hash as string).toUpperCase().replace('0X', '0x') }),
      same,
    ],
    ['a transaction of type null', same, withFields({ type: null })],
    ['a transaction without a type', same, without('type')],
    ['a value of 0x', same, withFields({ value: '0x' })],
    [
      'a transaction’s block in capitals',
      same,
      (each) => ({ ...each, blockHash: (each.blockHash as string).toUpperCase().replace('0X', '0x') }),
    ],
    ['a transaction without its place', same, without('blockHash', 'transactionIndex')],
    ['a recipient of 0x', same, withFields({ to: '0x' })],
    ['data in place of input', same, (each) => ({ ...(without('input')(each) as Fields), data: '0xABCD' })],
    ['a deposit (Optimism)', same, withFields({ type: '0x7e', gasPrice: '0x0', sourceHash: '0x1', mint: '0x0' })],
    [
      'a type that nobody knows',
      same,
      (each) => ({ ...(without('nonce', 'gas', 'gasPrice', 'value', 'input')(each) as Fields), type: '0xfffffffff' }),
    ],
  ])('%s', async (_what, block, transaction) => {
    chainOf(block, transaction);
    await agrees();
  });

  test('what is not there is null, a type stays what it was', async () => {
    chainOf(withFields({ stateRoot: '0x', size: null }), (each) => ({
      ...(without('value')(each) as Fields),
      type: '0x7e',
    }));
    await agrees();
    const { rows } = await database.pool.query(
      `select state_root, size, gas_used::text, t.type::text, t.value
       from chain.block b join chain.transaction t on t.block_number = b.number where number = 3`,
    );
    expect(rows).toEqual([{ state_root: null, size: null, gas_used: '21000', type: '126', value: null }]);
  });

  test.each<[string, (block: Fields) => Json]>([
    ['a date past the calendar', withFields({ timestamp: '0xffffffffffff' })],
    ['a state root of half its length', withFields({ stateRoot: '0xabcd' })],
  ])('a block with %s fails alone', async (_what, edit) => {
    chainOf((block) => (block.number === '0x5' ? edit(block) : block));
    expect(await index()).toMatchObject([{ number: 5 }]);
    expect(await counts(database.pool)).toMatchObject({ blocks: 10, receipts: 10 });
  });
});

describe('PU-10: quantities that no bigint holds', () => {
  test.each(['0xffffffffffffffff', `0x${'f'.repeat(64)}`])('gas of %s', async (gas) => {
    node.always = resulting(({ method }, result) => {
      if (method === 'eth_getBlockByNumber' && result !== null) {
        const block = result as Fields;
        const [transaction] = block.transactions as Fields[];
        return { ...block, gasLimit: gas, gasUsed: gas, transactions: [{ ...transaction, gas, nonce: gas }] };
      }
      if (method === 'eth_getBlockReceipts') return (result as Fields[]).map((each) => ({ ...each, gasUsed: gas }));
      return result;
    });
    await agrees();
    const { rows } = await database.pool.query('select gas_limit::text as gas from chain.block where number = 1');
    expect(rows).toEqual([{ gas: BigInt(gas).toString() }]);
  });
});

/** Block 3 has `count` transactions in place of one; `listed` says which of their receipts its list has. */
function blockOfMany(count: number, listed: (index: number) => boolean, alone: (index: number) => boolean): void {
  const hash = (k: number): string => `0xc1${(3_000_000 + k).toString(16).padStart(62, '0')}`;
  const place = (k: number): Fields => ({ transactionIndex: `0x${k.toString(16)}` });
  const receipt = (one: Fields, k: number): Json => ({
    ...one,
    ...place(k),
    transactionHash: hash(k),
    logs: (one.logs as Fields[]).map((log) => ({ ...log, ...place(k), logIndex: `0x${k.toString(16)}` })),
  });
  const all = Array.from({ length: count }, (_, k) => k);
  let one: Fields | undefined;
  node.always = resulting(({ method, params }: Call, result) => {
    if (method === 'eth_getBlockByNumber' && params[0] === '0x3') {
      const block = result as Fields;
      const [transaction] = block.transactions as Fields[];
      return { ...block, transactions: all.map((k) => ({ ...transaction, hash: hash(k), ...place(k) })) };
    }
    if (method === 'eth_getBlockReceipts' && params[0] === '0x3') {
      one = (result as Fields[])[0]!;
      return all.filter(listed).map((k) => receipt(one!, k));
    }
    if (method === 'eth_getTransactionReceipt') {
      const k = all.find((each) => hash(each) === params[0]);
      return k === undefined || !alone(k) ? null : receipt(one!, k);
    }
    if (method === 'eth_getLogs') {
      return (result as Fields[]).flatMap((log) =>
        log.blockNumber === '0x3' ? all.map((k) => ({ ...log, ...place(k), logIndex: `0x${k.toString(16)}` })) : [log],
      );
    }
    return result;
  });
}

describe('receipts that are left out', () => {
  const every = () => true;
  test.each<[string, number, (index: number) => boolean]>([
    ['PU-11: the last one (Polygon)', 2, (k) => k === 0],
    ['the first one', 3, (k) => k > 0],
    ['one in the middle', 3, (k) => k !== 1],
    ['PU-7: all of them', 1, () => false],
    ['all of many', 5, () => false],
  ])('%s: are asked for one by one', async (_what, count, listed) => {
    blockOfMany(count, listed, every);
    await agrees();
    expect(await counts(database.pool)).toMatchObject({ awaiting: 0, receipts: 10 + count });
  });

  test.each<[string, number, (index: number) => boolean, string]>([
    ['PU-7', 1, () => false, '0 receipts for the 1 transactions of block 3'],
    ['PU-11', 2, (k) => k === 0, '1 receipts for the 2 transactions of block 3'],
  ])(
    '%s: what cannot be had even so has failed, with its words; the others are unharmed',
    async (_what, count, listed, message) => {
      blockOfMany(count, listed, () => false);
      expect(await index()).toEqual([{ number: 3, message }]);
      expect(await counts(database.pool)).toMatchObject({ awaiting: 1, receipts: 10 });
    },
  );

  test('BU-M22: null in place of the list (a pruned node) has failed, and is not another block', async () => {
    node.always = resulting(({ method, params }, result) =>
      method === 'eth_getTransactionReceipt' || (method === 'eth_getBlockReceipts' && params[0] === '0x4')
        ? null
        : result,
    );
    expect(await index()).toEqual([{ number: 4, message: '0 receipts for the 1 transactions of block 4' }]);
  });

  test('null in place of the list, and each by itself: stored', async () => {
    node.always = resulting(({ method }, result) => (method === 'eth_getBlockReceipts' ? null : result));
    await agrees();
  });
});

describe('PU-12: log numbers that begin anew in each transaction', () => {
  test('both are stored', async () => {
    blockOfMany(
      2,
      () => true,
      () => true,
    );
    const { always } = node;
    node.always = function (calls, response) {
      const end = response.end.bind(response);
      const zero = (text: string): string => text.replace(/"logIndex":"0x[0-9a-f]+"/g, '"logIndex":"0x0"');
      response.end = ((text: string) => end(zero(text))) as typeof response.end;
      return always!.call(node, calls, response);
    };
    await agrees();
    const { rows } = await database.pool.query(
      'select index, transaction_index from chain.log where block_number = 3 order by transaction_index',
    );
    expect(rows).toEqual([
      { index: 0, transaction_index: 0 },
      { index: 0, transaction_index: 1 },
    ]);
  });

  test('two of one number in one transaction fail alone, before they are written', async () => {
    node.always = resulting(({ method, params }, result) => {
      if (method !== 'eth_getBlockReceipts' || params[0] !== '0x4') return result;
      return (result as Fields[]).map((each) => ({
        ...each,
        logs: [...(each.logs as Json[]), ...(each.logs as Json[])],
      }));
    });
    const [failed, ...others] = await index();
    expect(failed).toMatchObject({ number: 4, message: expect.stringContaining('two logs of number 0') as string });
    expect(others).toEqual([]);
    expect(await counts(database.pool)).toMatchObject({ receipts: 10, logs: 10 });
  });
});

test('receipts of a block that the node says is another one use attempts once that block is looked at and is the same', async () => {
  node.always = resulting(({ method, params }, result) => {
    if (method !== 'eth_getBlockReceipts' || params[0] !== '0x4') return result;
    return (result as Fields[]).map((each) => ({ ...each, blockHash: `0x${'99'.repeat(32)}` }));
  });
  await new BlockIndexer(chain, database, 0).index(range(0, 10));
  process.env.RPC_URL = node.url;
  process.env.DATABASE_URL = databaseUrl;
  const context = { signal: new AbortController().signal, log: pino({ level: 'silent' }) };
  const answer = (await receipts.run([{ number: 3 }, { number: 4 }], context as never)) as unknown as {
    entries: { number: number }[];
    reason?: string;
    after?: string;
  }[];
  closers.push(() => services().close());
  const come = answer.filter(({ entries }) => entries.length > 0);
  expect(come).toMatchObject([{ entries: [{ number: 4 }], reason: expect.stringMatching(/another block/) as string }]);
  // Without a time of its own: it uses an attempt, and is a dead letter in the end.
  expect(come[0]!.after).toBeUndefined();
});

const bouncer = findPgBouncer();
if (bouncer === undefined) console.warn('PgBouncer is not installed, so it is not tested: apt-get install pgbouncer');
(bouncer === undefined ? describe.skip : describe)('behind PgBouncer in transaction mode', () => {
  let pooler: Pooler;
  beforeAll(async () => {
    pooler = await Pooler.start(bouncer!, { dir, servers: { databaseUrl } });
  });
  afterAll(() => pooler?.stop());

  test('it would not do without saying so', async () => {
    const plain = new Database(pooler.url);
    await expect(index(plain)).rejects.toThrow();
    await plain.close();
  });

  test('all is indexed over connections that change', async () => {
    const pooled = new Database(pooler.url, { pooled: true });
    try {
      expect(await index(pooled)).toEqual([]);
      expect(await index(pooled)).toEqual([]);
      expect((await check(chain, pooled, 0, node.head)).differences).toEqual([]);
      const { rows } = await pooled.transaction((db) => db.query('show statement_timeout'));
      expect(rows).toEqual([{ statement_timeout: '30s' }]);
    } finally {
      await pooled.close();
    }
  });
});
