/**
 * A JSON-RPC node that keeps the rules which nodes publish (calls in a batch, blocks in a range of logs) and misbehaves
 * in the ways that they do: a `Fault` is spent on the next request, or stays.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Json } from 'longwatch';

export interface Call {
  id: number;
  method: string;
  params: Json[];
}

/** Answers in place of the node; `calls` is what was asked. Undefined: the node answers by its rules. */
export type Fault = (calls: Call[], response: ServerResponse) => unknown;

export interface FakeNode {
  url: string;
  /** Calls in a batch; more is a 413. */
  batchLimit: number;
  /** Blocks in one eth_getLogs. */
  rangeLimit: number;
  /** The refusal of a range past the limit. */
  rangeMessage: (from: number) => string;
  head: number;
  /** Requests so far, as the number of their calls. */
  requests: number[];
  headers: IncomingMessage['headers'][];
  paths: string[];
  /** Methods that the node does not have. */
  without: Set<string>;
  /** Spent one a request, in order. */
  faults: Fault[];
  /** Asked at each request after `faults` are spent. */
  always: Fault | undefined;
  close(): Promise<void>;
}

const hex = (value: number): string => `0x${value.toString(16)}`;
const hash = (kind: string, number: number): string =>
  `0x${kind}${number.toString(16).padStart(64 - kind.length, '0')}`;

export const status =
  (code: number, headers: Record<string, string> = {}, body = ''): Fault =>
  (_, response) =>
    response.writeHead(code, headers).end(body);

/** Edits what the node would have answered. */
export const edited = (edit: (answers: Answer[]) => unknown): Fault =>
  function (this: FakeNode, calls, response) {
    return response.end(JSON.stringify(edit(calls.map((call) => answer(this, call)))));
  };

/** Edits each result: a chain of its own. For `always`. */
export const resulting = (edit: (call: Call, result: Json) => Json): Fault =>
  function (this: FakeNode, calls, response) {
    const answers = calls.map((call) => {
      const given = answer(this, call);
      return given.result === undefined ? given : { ...given, result: edit(call, given.result) };
    });
    return response.end(JSON.stringify(answers.length === 1 ? answers[0] : answers));
  };

export interface Answer {
  jsonrpc: '2.0';
  id: number;
  result?: Json;
  error?: { code: number; message: string };
}

export async function startFakeNode(): Promise<FakeNode> {
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (data: Buffer) => (text += data.toString()));
    request.on('end', () => {
      const body = JSON.parse(text) as Call | Call[];
      const calls = Array.isArray(body) ? body : [body];
      node.requests.push(calls.length);
      node.headers.push(request.headers);
      node.paths.push(request.url!);
      const fault = node.faults.shift() ?? node.always;
      if (fault?.call(node, calls, response) !== undefined) return;
      if (calls.length > node.batchLimit) response.writeHead(413).end('too large');
      else {
        const answers = calls.map((call) => answer(node, call));
        response.end(JSON.stringify(Array.isArray(body) ? answers : answers[0]));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const node: FakeNode = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    batchLimit: 1_000,
    rangeLimit: 10_000,
    rangeMessage: () => 'query exceeds max block range',
    head: 10_000,
    requests: [],
    headers: [],
    paths: [],
    without: new Set(),
    faults: [],
    always: undefined,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return node;
}

function answer(node: FakeNode, { id, method, params }: Call): Answer {
  const refuse = (code: number, message: string): Answer => ({ jsonrpc: '2.0', id, error: { code, message } });
  const give = (result: Json): Answer => ({ jsonrpc: '2.0', id, result });
  if (node.without.has(method)) return refuse(-32601, 'the method does not exist');
  const at = params[0] === 'latest' ? node.head : parseInt(params[0] as string, 16);
  switch (method) {
    case 'eth_getBlockByNumber':
      return give(at > node.head ? null : block(at));
    case 'eth_getBlockReceipts':
      return give(at > node.head ? null : [receipt(at)]);
    case 'eth_getTransactionReceipt':
      return give(receipt(parseInt((params[0] as string).slice(4), 16)));
    case 'eth_getLogs': {
      const { fromBlock, toBlock } = params[0] as { fromBlock: string; toBlock: string };
      const [from, to] = [parseInt(fromBlock, 16), parseInt(toBlock, 16)];
      if (to - from + 1 > node.rangeLimit) return refuse(-32602, node.rangeMessage(from));
      return give(Array.from({ length: to - from + 1 }, (_, k) => log(from + k)));
    }
    default:
      return refuse(-32601, 'the method does not exist');
  }
}

/** A block with one transaction, that left one log. */
function block(number: number): Json {
  return {
    number: hex(number),
    hash: hash('b1', number),
    parentHash: number === 0 ? hash('', 0) : hash('b1', number - 1),
    timestamp: hex(1_600_000_000 + number * 12),
    miner: `0x${'11'.repeat(20)}`,
    stateRoot: hash('aa', number),
    gasLimit: hex(30_000_000),
    gasUsed: hex(21_000),
    baseFeePerGas: hex(7),
    size: hex(700),
    extraData: '0x',
    transactions: [
      {
        hash: hash('c1', number),
        blockHash: hash('b1', number),
        transactionIndex: '0x0',
        type: '0x2',
        from: `0x${'22'.repeat(20)}`,
        to: `0x${'33'.repeat(20)}`,
        nonce: hex(number),
        value: '0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
        gas: hex(21_000),
        gasPrice: hex(8),
        input: '0x',
      },
    ],
  };
}

function log(number: number): Json {
  return {
    blockNumber: hex(number),
    logIndex: '0x0',
    transactionIndex: '0x0',
    address: `0x${'33'.repeat(20)}`,
    topics: [hash('dd', number)],
    data: '0xABCD',
  };
}

function receipt(number: number): Json {
  return {
    blockNumber: hex(number),
    blockHash: hash('b1', number),
    transactionIndex: '0x0',
    status: '0x1',
    gasUsed: hex(21_000),
    effectiveGasPrice: hex(8),
    contractAddress: null,
    logs: [log(number)],
  };
}
