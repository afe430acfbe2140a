/** The JSON-RPC client against a node that keeps the published rules, and breaks them in the ways that nodes do. */
import { HoldError, UpstreamError } from 'longwatch/upstream';
import { BatchSize } from '../../../examples/blocks/rpc/batch-size';
import { Chain } from '../../../examples/blocks/rpc/chain';
import { RpcClient } from '../../../examples/blocks/rpc/client';
import { RpcError } from '../../../examples/blocks/rpc/errors';
import { type Answer, edited, type FakeNode, startFakeNode, status } from './fake-node';
import { range } from './kit';

let node: FakeNode;
let chain: Chain;
let rpc: RpcClient;

/**
 * A request's time is only short where a test waits for its end: a machine that is busy for a moment takes no batch for
 * too large.
 */
const chainOf = (timeoutMs = 60_000): Chain =>
  new Chain({ url: node.url, timeoutMs, maxBodyBytes: 1024 * 1024, defaultHoldMs: 1_700 });

beforeEach(async () => {
  node = await startFakeNode();
  chain = chainOf();
  rpc = new RpcClient({ url: node.url });
});
afterEach(async () => {
  await chain.close();
  await rpc.close();
  await node.close();
});

const thrown = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect('it to fail').toBe('it did not'),
    (error: unknown) => error,
  );
const numbersOf = (outcomes: Awaited<ReturnType<Chain['blocks']>>): (number | string)[] =>
  outcomes.map((outcome) => (outcome.ok ? outcome.value.block.number : outcome.error.failure));

test('many calls go in few requests, and their answers in whatever order are put in that of the calls', async () => {
  node.faults.push(edited((answers) => answers.reverse()));
  const outcomes = await chain.blocks(range(1, 600));
  expect(numbersOf(outcomes)).toEqual(range(1, 600));
  expect(node.requests).toEqual([250, 250, 100]);
});

test('quantities keep all of their digits, and hexadecimal is in lower case', async () => {
  const [outcome] = await chain.blocks([1]);
  expect(outcome).toMatchObject({ ok: true });
  if (!outcome!.ok) return;
  expect(outcome!.value.transactions[0]!.value).toBe((2n ** 256n - 1n).toString());
  expect((await chain.logs(5, 5))[0]).toMatchObject({ blockNumber: 5, data: '0xabcd' });
});

describe('a batch that is too large', () => {
  test('is halved until it passes, and the size is remembered', async () => {
    node.batchLimit = 70;
    expect(numbersOf(await chain.blocks(range(1, 250)))).toEqual(range(1, 250));
    expect(node.requests).toEqual([250, 125, 62, 62, 62, 62, 2]);
    node.requests = [];
    await chain.blocks(range(1, 124));
    expect(node.requests).toEqual([62, 62]);
  });

  test.each<[string, (answers: Answer[]) => unknown]>([
    ['an error in place of the answers', () => ({ error: { code: -32005, message: 'batch size too large' } })],
    ["'invalid request'", () => ({ jsonrpc: '2.0', id: null, error: { code: -32600, message: 'invalid request' } })],
    ['an answer of more than may be read', () => 'x'.repeat(2 * 1024 * 1024)],
  ])('by %s is halved', async (_, edit) => {
    node.always = function (calls, response) {
      return calls.length > 100 ? edited(edit).call(this, calls, response) : undefined;
    };
    expect(numbersOf(await chain.blocks(range(1, 250)))).toEqual(range(1, 250));
    expect(Math.max(...node.requests.slice(2))).toBe(62);
  });

  test('by a 504 is halved', async () => {
    node.faults.push(status(504));
    expect(numbersOf(await chain.blocks(range(1, 10)))).toEqual(range(1, 10));
    expect(node.requests).toEqual([10, 5, 5]);
  });

  test('by a time-out is halved; a node that hangs whatever is asked is given up on', async () => {
    const hasty = chainOf(300);
    node.always = (calls, response) => (calls.length > 100 ? response : undefined);
    expect(numbersOf(await hasty.blocks(range(1, 250)))).toEqual(range(1, 250));
    node.always = (_, response) => response;
    const error = await thrown(hasty.blocks(range(1, 250)));
    expect(error).toBeInstanceOf(UpstreamError);
    expect(error).toMatchObject({ failure: 'timeout', retryable: true });
    await hasty.close();
  });

  test('of one call is that call’s error, and the others have their answers', async () => {
    node.always = function (calls, response) {
      return calls.some(({ params }) => params[0] === '0x7') ? status(413)(calls, response) : undefined;
    };
    const outcomes = await chain.blocks(range(1, 10));
    expect(numbersOf(outcomes)).toEqual([1, 2, 3, 4, 5, 6, 'too large', 8, 9, 10]);
  });

  test('grows again: fast after a failure of everything, slowly near what failed', () => {
    const size = new BatchSize(256);
    size.tooLarge(256);
    expect(size.current).toBe(128);
    // Near: one more eighth after twenty full ones; smaller ones say nothing.
    for (let k = 0; k < 19; k++) size.worked(128);
    size.worked(100);
    expect(size.current).toBe(128);
    size.worked(128);
    expect(size.current).toBe(144);
    for (let k = 0; k < 200; k++) size.worked(size.current);
    expect(size.current).toBe(256);

    // Everything failed, down to one.
    while (size.current > 1) size.tooLarge(size.current);
    for (let k = 0; k < 40; k++) size.worked(size.current);
    expect(size.current).toBe(256);
  });
});

describe('a rate limit', () => {
  test.each([
    ['a 429 that says until when', status(429, { 'retry-after': '3' }), 3_000],
    ['a 429 that does not', status(429), 1_700],
    ['a 503 that says until when', status(503, { 'retry-after': '2' }), 2_000],
    [
      'an answer to each call',
      edited((answers) =>
        answers.map(({ id }) => ({
          id,
          error: { code: -32005, message: 'request rate limited exceeded: rate limit' },
        })),
      ),
      1_700,
    ],
    ['one answer to all of them', edited(() => ({ error: { code: 429, message: 'Too Many Requests' } })), 1_700],
  ])('by %s is a hold', async (_, fault, afterMs) => {
    node.faults.push(fault);
    const error = await thrown(chain.blocks(range(1, 10)));
    expect(error).toBeInstanceOf(HoldError);
    expect(error).toMatchObject({ afterMs });
    expect(numbersOf(await chain.blocks([1, 2]))).toEqual([1, 2]);
  });
});

describe('half a batch answered', () => {
  test('the other half is asked for again', async () => {
    node.faults.push(edited((answers) => answers.slice(0, 5)));
    expect(numbersOf(await chain.blocks(range(1, 10)))).toEqual(range(1, 10));
    expect(node.requests).toEqual([10, 5]);
  });

  test('what is left out again and again fails, by itself', async () => {
    node.always = function (calls, response) {
      return edited((answers) => answers.filter((_, k) => calls[k]!.params[0] !== '0x3')).call(this, calls, response);
    };
    expect(numbersOf(await chain.blocks([1, 2, 3, 4]))).toEqual([1, 2, 'missing', 4]);
  });

  test('answers to what was not asked are nobody’s', async () => {
    node.faults.push(edited((answers) => [null, 7, { id: 1e9, result: {} }, { id: -1 }, ...answers]));
    expect(numbersOf(await chain.blocks([1, 2]))).toEqual([1, 2]);
  });
});

test('a node that answers 500 fails as a whole, to be tried again', async () => {
  node.faults.push(status(500));
  expect(await thrown(chain.blocks([1, 2]))).toMatchObject({ name: 'UpstreamError', status: 500, retryable: true });
  expect(numbersOf(await chain.blocks([1, 2]))).toEqual([1, 2]);
});

test.each([
  ['not JSON', status(200, {}, '<html>down for maintenance</html>'), 'garbage'],
  ['nothing', status(200), 'malformed'],
])('%s fails as a whole, to be tried again', async (_, fault, failure) => {
  node.faults.push(fault);
  expect(await thrown(chain.blocks([1, 2]))).toMatchObject({ failure, retryable: true });
});

test.each([['"yes"'], ['null'], ['{}'], ['{"result": 1}']])('%s in place of the answers fails', async (body) => {
  node.faults.push(status(200, {}, body));
  expect(await thrown(chain.blocks([1, 2]))).toMatchObject({ name: 'RpcError', failure: 'malformed' });
});

test('a connection that ends in the middle of an answer fails as a whole', async () => {
  node.faults.push((_, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('[{');
    return setImmediate(() => response.destroy());
  });
  expect(await thrown(chain.blocks([1, 2]))).toMatchObject({ failure: 'closed', retryable: true });
});

test('null blocks are told apart from those that are there', async () => {
  node.faults.push(edited((answers) => answers.map((each, k) => (k % 2 === 0 ? { ...each, result: null } : each))));
  expect(numbersOf(await chain.blocks([1, 2, 3, 4]))).toEqual(['null', 2, 'null', 4]);
});

test.each<[string, (block: Record<string, unknown>) => unknown]>([
  ['another number', (block) => ({ ...block, number: '0x63' })],
  ['a short hash', (block) => ({ ...block, hash: '0x1234' })],
  ['no hash', ({ hash: _, ...block }) => block],
  ['a number in place of a quantity', (block) => ({ ...block, gasUsed: 21_000 })],
  ['a quantity past 256 bits', (block) => ({ ...block, gasUsed: `0x1${'0'.repeat(64)}` })],
  ['odd data', (block) => ({ ...block, extraData: '0x123' })],
  ['hashes in place of transactions', (block) => ({ ...block, transactions: ['0x12'] })],
  ['transactions of another block', (block) => ({ ...block, hash: `0x${'ee'.repeat(32)}` })],
  ['a text in place of the block', () => 'block'],
])('a block with %s is refused, and no other one with it', async (_, edit) => {
  node.faults.push(
    edited((answers) =>
      answers.map((each, k) =>
        k === 1 ? { ...each, result: edit(each.result as Record<string, unknown>) as never } : each,
      ),
    ),
  );
  expect(numbersOf(await chain.blocks([1, 2, 3]))).toEqual([1, 'malformed', 3]);
});

test('what the node refuses is an error of its call, final where asking again cannot help', async () => {
  node.without.add('eth_getBlockByNumber');
  const [outcome] = await chain.blocks([1]);
  expect(outcome).toMatchObject({ ok: false, error: { failure: 'refused', code: -32601, retryable: false } });
  const error = await thrown(rpc.call('eth_nothing', []));
  expect(error).toBeInstanceOf(RpcError);
  expect((error as Error).message).toBe('eth_nothing: the node refused (-32601): the method does not exist');
});

describe('receipts', () => {
  const block = { number: 5, hash: `0xb1${'5'.padStart(62, '0')}`, transactions: 1 };

  test('come by the block, or one by one from a node that has no such method', async () => {
    const [byBlock] = await chain.receipts([block]);
    node.without.add('eth_getBlockReceipts');
    const [byTransaction] = await chain.receipts([block]);
    expect(byTransaction).toEqual(byBlock);
    expect(byBlock).toMatchObject({ ok: true, value: { blockHash: block.hash, logs: [{ blockNumber: 5 }] } });
    // It is not asked for a second time.
    node.requests = [];
    await chain.receipts([block]);
    expect(node.requests).toEqual([1, 1]);
  });

  test('of another block are answered as such; a number that does not match is an error', async () => {
    const [other] = await chain.receipts([{ ...block, hash: `0x${'99'.repeat(32)}`, transactions: 3 }]);
    expect(other).toMatchObject({ ok: true, value: { blockHash: block.hash } });
    const [wrong] = await chain.receipts([{ ...block, transactions: 3 }]);
    expect(wrong).toMatchObject({ ok: false, error: { failure: 'malformed' } });
  });
});

describe('logs of a range', () => {
  test('too wide for the node come in narrower ones, and the width is remembered', async () => {
    node.rangeLimit = 600;
    const logs = await chain.logs(0, 3_000);
    expect(logs.map(({ blockNumber }) => blockNumber)).toEqual(range(0, 3_000));
    node.requests = [];
    await chain.logs(0, 999);
    expect(node.requests).toHaveLength(2);
  });

  test('take the width that the node suggests', async () => {
    node.rangeLimit = 90;
    node.rangeMessage = (from) =>
      `Log response size exceeded. this block range should work: [0x${from.toString(16)}, 0x${(from + 89).toString(16)}]`;
    await chain.logs(0, 899);
    expect(node.requests).toHaveLength(11);
  });

  test('of one block that the node will not give are an error', async () => {
    node.rangeLimit = 0;
    expect(await thrown(chain.logs(1, 10))).toMatchObject({ failure: 'too large' });
  });
});

describe('the address', () => {
  test('may have a path, a query and a user', async () => {
    const url = node.url.replace('http://', 'http://me:pass%20word@');
    const client = new RpcClient({ url: `${url}/v3/key?x=1` });
    await client.call('eth_getBlockByNumber', ['0x1', false]);
    await client.close();
    expect(node.paths).toEqual(['/v3/key?x=1']);
    expect(node.headers[0]!.authorization).toBe(`Basic ${Buffer.from('me:pass word').toString('base64')}`);
  });

  test('is in no message', async () => {
    const key = 'f00dfacef00dfacef00dfacef00dface';
    const client = new RpcClient({ url: `${node.url}/v3/${key}` });
    node.faults.push(
      status(500),
      edited(() => ({ error: { code: -32000, message: `no project at ${node.url}/v3/${key}` } })),
    );
    for (let k = 0; k < 2; k++) {
      const error = (await thrown(client.call('eth_getBlockByNumber', ['0x1', false]))) as Error;
      expect(`${error.message} ${JSON.stringify(error)} ${error.stack}`).not.toContain(key);
    }
    await client.close();
  });

  test.each(['', 'localhost:8545', 'ws://127.0.0.1', 'ftp://x'])('%p is none', (url) => {
    expect(() => new RpcClient({ url })).toThrow(new TypeError('RPC_URL must be an http or https address'));
  });
});

test('a signal ends what is under way', async () => {
  node.always = (_, response) => response;
  const controller = new AbortController();
  const asking = thrown(chain.blocks([1, 2], controller.signal));
  controller.abort();
  expect(await asking).toMatchObject({ failure: 'aborted' });
});
