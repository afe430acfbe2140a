/**
 * Makes rows of nodes' answers: checked, in one canonical form each, so that a row from the node and one from a table
 * compare as they are. Hashes, addresses and data stay '0x…' in lower case, quantities become decimal strings, what is
 * small a number. Used by `chain.ts`; `store/` turns the forms into native columns.
 */
import type { Json } from 'longwatch';
import { RpcError } from './errors';

export interface Header {
  number: number;
  hash: string;
  parentHash: string;
}

/** A row of `chain.block`. */
export interface BlockRow extends Header {
  /** Seconds since 1970. */
  minedAt: number;
  /** Null, here and below: the chain does not have it. */
  miner: string | null;
  stateRoot: string | null;
  gasLimit: string | null;
  gasUsed: string | null;
  /** Wei; null before EIP-1559. */
  baseFee: string | null;
  size: number | null;
  extraData: string | null;
  transactions: number;
}

/** A row of `chain.transaction`. */
export interface TransactionRow {
  blockNumber: number;
  index: number;
  hash: string;
  /** As it came: chains have types of their own. */
  type: number;
  sender: string;
  /** Null: it creates a contract. */
  recipient: string | null;
  nonce: string | null;
  value: string | null;
  gasLimit: string | null;
  /** Wei. Null where a node leaves it out. */
  gasPrice: string | null;
  maxFee: string | null;
  maxPriorityFee: string | null;
  input: string | null;
}

/** A row of `chain.receipt`. */
export interface ReceiptRow {
  blockNumber: number;
  index: number;
  /** Null before Byzantium. */
  succeeded: boolean | null;
  gasUsed: string | null;
  gasPrice: string | null;
  contract: string | null;
}

/** A row of `chain.log`. */
export interface LogRow {
  blockNumber: number;
  /** Within the block; some chains begin anew in each transaction. */
  index: number;
  transactionIndex: number;
  address: string;
  topics: string[];
  data: string;
}

export interface Block {
  block: BlockRow;
  transactions: TransactionRow[];
}

export interface Receipts {
  blockNumber: number;
  /** The hash of the block that they are of; undefined where it has none. */
  blockHash: string | undefined;
  receipts: ReceiptRow[];
  logs: LogRow[];
}

type Fields = Record<string, Json | undefined>;

/** @param number what was asked for. */
export function decodeBlock(value: Json, number: number): Block {
  const fields = fieldsOf(value, 'a block');
  const header = decodeHeader(fields);
  if (header.number !== number) throw malformed(`block ${header.number} in place of ${number}`);
  const transactions = listOf(fields.transactions, 'transactions').map((each, index) =>
    decodeTransaction(each, header, index),
  );
  return {
    // Field by field: a spread would make objects that are slower to build and to read.
    block: {
      number,
      hash: header.hash,
      parentHash: header.parentHash,
      minedAt: small(fields.timestamp, 'timestamp', LAST_SECOND),
      miner: optional(fields.miner, address, 'miner'),
      stateRoot: optional(fields.stateRoot, root, 'stateRoot'),
      gasLimit: optional(fields.gasLimit, quantity, 'gasLimit'),
      gasUsed: optional(fields.gasUsed, quantity, 'gasUsed'),
      baseFee: optional(fields.baseFeePerGas, quantity, 'baseFeePerGas'),
      size: optional(fields.size, small, 'size'),
      extraData: optional(fields.extraData, bytes, 'extraData'),
      transactions: transactions.length,
    },
    transactions,
  };
}

export function decodeHeader(value: Json | Fields): Header {
  const fields = fieldsOf(value, 'a block');
  return {
    number: small(fields.number, 'number'),
    hash: hex(fields.hash, 32, 'hash'),
    parentHash: hex(fields.parentHash, 32, 'parentHash'),
  };
}

function decodeTransaction(value: Json, { number, hash }: Header, index: number): TransactionRow {
  const fields = fieldsOf(value, 'a transaction');
  // A node that reorganises while it answers may mix two blocks.
  if (isThere(fields.blockHash) && !isSameHex(fields.blockHash, hash)) {
    throw malformed(`a transaction of another block in block ${number}`);
  }
  if (isThere(fields.transactionIndex) && small(fields.transactionIndex, 'transactionIndex') !== index) {
    throw malformed('transactions out of order');
  }
  return {
    blockNumber: number,
    index,
    hash: hex(fields.hash, 32, 'hash'),
    type: optional(fields.type, small, 'type') ?? 0,
    sender: hex(fields.from, 20, 'from'),
    recipient: optional(fields.to, address, 'to'),
    nonce: optional(fields.nonce, quantity, 'nonce'),
    value: optional(fields.value, quantity, 'value'),
    gasLimit: optional(fields.gas, quantity, 'gas'),
    gasPrice: optional(fields.gasPrice, quantity, 'gasPrice'),
    maxFee: optional(fields.maxFeePerGas, quantity, 'maxFeePerGas'),
    maxPriorityFee: optional(fields.maxPriorityFeePerGas, quantity, 'maxPriorityFeePerGas'),
    input: optional(isThere(fields.input) ? fields.input : fields.data, bytes, 'input'),
  };
}

/** @param value a list of receipts: all of one block, in the order of its transactions; one may be left out. */
export function decodeReceipts(value: Json, number: number): Receipts {
  const logs: LogRow[] = [];
  let blockHash: string | undefined;
  let last = -1;
  const receipts = listOf(value, 'receipts').map((each): ReceiptRow => {
    const fields = fieldsOf(each, 'a receipt');
    if (small(fields.blockNumber, 'blockNumber') !== number)
      throw malformed(`a receipt of another block than ${number}`);
    const index = small(fields.transactionIndex, 'transactionIndex', LARGEST_INTEGER);
    if (index <= last) throw malformed('receipts out of order');
    last = index;
    blockHash ??= hex(fields.blockHash, 32, 'blockHash');
    if (!isSameHex(fields.blockHash, blockHash)) throw malformed(`receipts of two blocks as those of ${number}`);
    decodeLogs(fields.logs, number, index, logs);
    const status = optional(fields.status, small, 'status');
    return {
      blockNumber: number,
      index,
      succeeded: status === null ? null : status === 1,
      gasUsed: optional(fields.gasUsed, quantity, 'gasUsed'),
      gasPrice: optional(fields.effectiveGasPrice, quantity, 'effectiveGasPrice'),
      contract: optional(fields.contractAddress, address, 'contractAddress'),
    };
  });
  return { blockNumber: number, blockHash, receipts, logs };
}

function decodeLogs(value: Json | undefined, block: number, transaction: number, into: LogRow[]): void {
  let seen: Set<number> | undefined;
  let previous = -1;
  for (const log of listOf(value, 'logs')) {
    const row = decodeLog(log);
    if (row.blockNumber !== block || row.transactionIndex !== transaction) throw malformed('a log of another receipt');
    // They come in their order; where they do not, two of one number would fail the whole part when they are written.
    if (row.index <= previous) {
      seen ??= new Set(into.filter((each) => each.transactionIndex === transaction).map(({ index }) => index));
      if (seen.has(row.index)) throw malformed(`two logs of number ${row.index} in one transaction`);
    }
    seen?.add(row.index);
    previous = Math.max(previous, row.index);
    into.push(row);
  }
}

export function decodeLog(value: Json): LogRow {
  const fields = fieldsOf(value, 'a log');
  const topics = listOf(fields.topics, 'topics').map((topic) => hex(topic, 32, 'topic'));
  if (topics.length > 4) throw malformed('a log with more than four topics');
  return {
    blockNumber: small(fields.blockNumber, 'blockNumber'),
    index: small(fields.logIndex, 'logIndex', LARGEST_INTEGER),
    transactionIndex: small(fields.transactionIndex, 'transactionIndex', LARGEST_INTEGER),
    address: hex(fields.address, 20, 'address'),
    topics,
    data: bytes(fields.data, 'data'),
  };
}

// ── Values ───────────────────────────────────────────────────────────────────────────────────

function malformed(what: string): RpcError {
  return new RpcError(`The node's answer is not what it should be: ${what}`, { failure: 'malformed' });
}

function fieldsOf(value: Json | Fields, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(`${what} that is none`);
  return value;
}

function listOf(value: Json | undefined, what: string): Json[] {
  if (!Array.isArray(value)) throw malformed(`${what} that are not a list`);
  return value;
}

/** '0x' alone is what some nodes write for zero. */
const QUANTITY = /^0x[0-9a-f]{0,64}$/i;
/** In hexadecimal digits, with '0x': below 2^52. */
const SAFE_LENGTH = 15;
/**
 * The largest `integer` of PostgreSQL, and the last second of its calendar that JavaScript writes with four digits.
 */
const LARGEST_INTEGER = 2 ** 31 - 1;
const LAST_SECOND = 253_402_300_799;

function quantity(value: Json | undefined, name: string): string {
  if (typeof value !== 'string' || !QUANTITY.test(value)) throw malformed(`${name} that is not a quantity`);
  if (value.length === 2) return '0';
  return value.length <= SAFE_LENGTH ? String(parseInt(value, 16)) : BigInt(value).toString();
}

function small(value: Json | undefined, name: string, largest = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'string' || !QUANTITY.test(value)) throw malformed(`${name} that is not a quantity`);
  const number = value.length === 2 ? 0 : parseInt(value, 16);
  if (number > largest) throw malformed(`${name} that is too large`);
  return number;
}

const BYTES = /^0x[0-9a-f]*$/;

function bytes(value: Json | undefined, name: string): string {
  if (typeof value === 'string' && value.length % 2 === 0) {
    if (BYTES.test(value)) return value;
    const lower = value.toLowerCase();
    if (BYTES.test(lower)) return lower;
  }
  throw malformed(`${name} that is not hexadecimal data`);
}

function hex(value: Json | undefined, length: number, name: string): string {
  if (typeof value !== 'string' || value.length !== 2 + 2 * length) throw malformed(`${name} of a wrong length`);
  return bytes(value, name);
}

/** An empty one is none: of a contract's creation, or of a chain that has no miners. */
function address(value: Json, name: string): string | null {
  return isEmpty(value) ? null : hex(value, 20, name);
}

function root(value: Json, name: string): string | null {
  return isEmpty(value) ? null : hex(value, 32, name);
}

function isEmpty(value: Json): boolean {
  return value === '0x' || value === '';
}

function isThere(value: Json | undefined): value is Json {
  return value !== undefined && value !== null;
}

function isSameHex(value: Json | undefined, lower: string): boolean {
  return value === lower || (typeof value === 'string' && value.toLowerCase() === lower);
}

function optional<T>(value: Json | undefined, decode: (value: Json, name: string) => T, name: string): T | null {
  return isThere(value) ? decode(value, name) : null;
}
