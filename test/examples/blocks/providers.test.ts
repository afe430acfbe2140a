/**
 * The manners of providers: in which form they refuse, and in which words. Each answer is one that somebody's node has
 * given; what comes of it is a smaller batch, a hold, or an error of the one call.
 */
import { HoldError, UpstreamError } from 'longwatch/upstream';
import { Chain } from '../../../examples/blocks/rpc/chain';
import { RpcClient } from '../../../examples/blocks/rpc/client';
import { errorIn, isRateLimit, isTooLarge, isUnknownMethod } from '../../../examples/blocks/rpc/errors';
import { type Fault, type FakeNode, startFakeNode, status } from './fake-node';
import { range } from './kit';

let node: FakeNode;
let chain: Chain;
beforeEach(async () => {
  node = await startFakeNode();
  chain = new Chain({ url: node.url, timeoutMs: 60_000 });
});
afterEach(async () => {
  await chain.close();
  await node.close();
});

const thrown = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect('it to fail').toBe('it did not'),
    (error: unknown) => error,
  );
const numbersOf = (outcomes: Awaited<ReturnType<Chain['blocks']>>): (number | string)[] =>
  outcomes.map((outcome) => (outcome.ok ? outcome.value.block.number : outcome.error.failure));

/** At most three calls a request; more is refused so. */
const atMostThree =
  (code: number, body: unknown): Fault =>
  (calls, response) =>
    calls.length > 3 ? status(code, {}, JSON.stringify(body))(calls, response) : undefined;

const tooLarge = { code: -32600, message: 'batch size too large' };
const single = { jsonrpc: '2.0', id: null, error: tooLarge };

describe('a batch that is too large is halved, however that is said', () => {
  test.each<[string, number, unknown]>([
    ['with 200', 200, single],
    ['with 400', 400, single],
    ['with 500 and a code of its own', 500, { ...single, error: { code: 31, message: 'batch size too large' } }],
    ['with 429', 429, single],
    ['with 403', 403, single],
    ['as a list of one, without an id', 200, [single]],
    ['as a list of one, with 400', 400, [single]],
    ['as an error to each, without ids', 200, [single, single, single, single]],
    ['as a text in place of the error', 200, { error: 'batch limit 3 exceeded' }],
    ['as a gateway’s message', 400, { message: 'Batch of more than 3 requests are not allowed' }],
    ['as an invalid request', 400, { ...single, error: { code: -32600, message: 'invalid request' } }],
  ])('%s', async (_what, code, body) => {
    node.always = atMostThree(code, body);
    expect(numbersOf(await chain.blocks(range(1, 6)))).toEqual(range(1, 6));
    expect(node.requests).toEqual([6, 3, 3]);
    // The size is remembered.
    node.requests = [];
    await chain.blocks(range(1, 6));
    expect(node.requests).toEqual([3, 3]);
  });
});

describe('a rate limit is a hold, however that is said', () => {
  const limited = { code: -32005, message: 'project ID request rate exceeded' };
  test.each<[string, number, unknown, number]>([
    ['with 200', 200, { jsonrpc: '2.0', id: null, error: limited }, 5_000],
    ['with 400', 400, { jsonrpc: '2.0', id: null, error: limited }, 5_000],
    ['with 500', 500, { jsonrpc: '2.0', id: null, error: limited }, 5_000],
    ['with 403', 403, { error: { code: -32000, message: 'exceeded the quota usage' } }, 5_000],
    ['as a list of one, without an id', 200, [{ id: null, error: limited }], 5_000],
    ['as an answer to one of them', 200, [{ id: 1, error: limited }], 5_000],
    ['as a text', 200, { error: 'rate limited' }, 5_000],
    ['as a gateway’s message', 200, { message: 'API rate limit exceeded' }, 5_000],
    ['with a time of its own', 200, [{ error: { ...limited, data: { rate: { backoff_seconds: 30 } } } }], 30_000],
  ])('%s', async (_what, code, body, afterMs) => {
    node.faults.push(status(code, {}, JSON.stringify(body)));
    const error = await thrown(chain.blocks(range(1, 6)));
    expect(error).toBeInstanceOf(HoldError);
    expect(error).toMatchObject({ afterMs });
    expect(node.requests).toEqual([6]);
    expect(numbersOf(await chain.blocks([1, 2]))).toEqual([1, 2]);
  });
});

test('who may not ask is told so at once, by the status', async () => {
  for (const code of [401, 403, 404]) {
    node.faults.push(status(code, {}, '{"error":{"code":-32600,"message":"Must be authenticated!"}}'));
    const error = await thrown(chain.blocks([1, 2]));
    expect(error).toBeInstanceOf(UpstreamError);
    expect(error).toMatchObject({ status: code, retryable: false });
  }
});

test('a list of good answers and a stray error keeps the good ones, and the rest is asked again', async () => {
  const client = new RpcClient({ url: node.url });
  node.faults.push((calls, response) =>
    response.end(
      JSON.stringify([
        { jsonrpc: '2.0', id: calls[0]!.id, result: 'first' },
        { jsonrpc: '2.0', id: null, error: { code: -32000, message: 'internal error' } },
      ]),
    ),
  );
  const call = { method: 'eth_getBlockByNumber', params: ['0x1', false] };
  const outcomes = await client.batch([call, call]);
  expect(outcomes).toMatchObject([
    { ok: true, value: 'first' },
    { ok: true, value: { number: '0x1' } },
  ]);
  expect(node.requests).toEqual([2, 1]);
  await client.close();
});

test('a single call that is refused with 500 is that call’s error', async () => {
  node.always = status(500, {}, '{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"header not found"}}');
  const [outcome] = await chain.blocks([7]);
  expect(outcome).toMatchObject({ ok: false, error: { failure: 'refused', code: -32000, retryable: true } });
});

test('logs of a range that is refused with 400 come in narrower ones', async () => {
  node.always = (calls, response) => {
    const { fromBlock, toBlock } = calls[0]!.params[0] as { fromBlock: string; toBlock: string };
    if (parseInt(toBlock, 16) - parseInt(fromBlock, 16) < 500) return undefined;
    const error = { code: -32614, message: 'eth_getLogs is limited to a 10,000 range' };
    return status(400, {}, JSON.stringify({ jsonrpc: '2.0', id: calls[0]!.id, error }))(calls, response);
  };
  expect((await chain.logs(0, 999)).map(({ blockNumber }) => blockNumber)).toEqual(range(0, 999));
});

const said = (message: string, code = -32000) => ({ code, message });

test.each([
  'eth_getLogs is limited to a 10,000 range',
  'eth_getLogs and eth_newFilter are limited to a 10,000 blocks range',
  'ranges over 10000 blocks are not supported on freetier',
  'Block range limit exceeded.',
  'query exceeds max results 20000, retry with the range 1-2',
  'query returned more than 10000 results',
  'maximum [from, to] blocks distance: 2000',
  'exceeded maximum number of requests in a batch (100)',
  'Too many requests in a batch',
  'too many requests in the batch',
  'batch call limit exceeded',
  'batch limit 100 exceeded',
  'Batch of more than 3 requests are not allowed on free tier',
  'the batch is too long',
  'batches are not supported',
  'query exceeds max block range 100000',
  'exceed maximum block range: 50000',
  'block range is too wide',
  'eth_getLogs block range too large, range: 10001, max: 1000',
  'requested too many blocks from 1 to 9000, maximum is set to 2048',
  'Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.',
  'Log response size exceeded.',
  'response size exceeded the limit',
  'backend response too large',
  'response is too big',
  'please limit the query to at most 1000 blocks',
  'query timeout exceeded',
])('too much: %s', (message) => {
  expect([isTooLarge(said(message)), isRateLimit(said(message))]).toEqual([true, false]);
});

test.each([
  'project ID request rate exceeded',
  'exceeded the quota usage',
  'capacity exceeded',
  'Your app has exceeded its compute units per second capacity.',
  'daily request count exceeded, request rate limited',
  'Too Many Requests',
  'rate limit exceeded',
  'request rate limited exceeded: rate limit',
  'call rate limit exhausted, retry in 10s',
  'You have exceeded your monthly quota',
  'exceeds the allowed RPS',
  '15/second request limit reached - reduce calls per second or upgrade',
  'Request throttled',
  'slow down',
])('too fast: %s', (message) => {
  expect([isTooLarge(said(message)), isRateLimit(said(message))]).toEqual([false, true]);
});

test.each([
  'header not found',
  'execution reverted',
  'nonce too low',
  'missing trie node',
  'block not found',
  'the method does not exist',
  'invalid argument 0: hex string without 0x prefix',
  'block range extends beyond current head block',
  'Internal error',
  '',
])('neither: %j', (message) => {
  expect([isTooLarge(said(message)), isRateLimit(said(message))]).toEqual([false, false]);
});

test.each([
  [-32601, 'the method eth_getBlockReceipts does not exist/is not available', true],
  [-32004, 'Method not supported', true],
  [-32000, 'Unsupported method: eth_getBlockReceipts', true],
  [-32000, 'method eth_getBlockReceipts not whitelisted', true],
  [-32000, 'header not found', false],
])('%i %s', (code, message, unknown) => expect(isUnknownMethod(said(message, code))).toBe(unknown));

test.each<[unknown, unknown]>([
  [{ error: { code: '-32005', message: 'x' } }, { code: -32005, message: 'x' }],
  [{ error: { message: 'x' } }, { code: 0, message: 'x' }],
  [{ error: { code: 7 } }, { code: 7, message: '' }],
  [{ error: null, result: 1 }, undefined],
  [{ result: { message: 'x' } }, undefined],
  [{ error: {} }, undefined],
  [null, undefined],
  ['x', undefined],
])('the error in %j', (item, error) => expect(errorIn(item)).toEqual(error));
