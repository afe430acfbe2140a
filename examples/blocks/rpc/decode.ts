/**
 * What nodes answer, as rows: checked, in one canonical form each, so that a row from the node and one from a table compare as
 * they are. Hashes, addresses and data stay '0x…' in lower case, quantities become decimal strings, what is small a number. Used by
 * `chain.ts`; `store/` turns the forms into native columns.
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
  miner: string;
  stateRoot: string;
  gasLimit: string;
  gasUsed: string;
  /** Wei; null before EIP-1559. */
  baseFee: string | null;
  size: number;
  extraData: string;
  transactions: number;
}

/** A row of `chain.transaction`. */
export interface TransactionRow {
  blockNumber: number;
  index: number;
  hash: string;
  type: number;
  sender: string;
  /** Null: it creates a contract. */
  recipient: string | null;
  nonce: string;
  value: string;
  gasLimit: string;
  /** Wei. Null where a node leaves it out. */
  gasPrice: string | null;
  maxFee: string | null;
  maxPriorityFee: string | null;
  input: string;
}

/** A row of `chain.receipt`. */
export interface ReceiptRow {
  blockNumber: number;
  index: number;
  /** Null before Byzantium. */
  succeeded: boolean | null;
  gasUsed: string;
  gasPrice: string | null;
  contract: string | null;
}

/** A row of `chain.log`. */
export interface LogRow {
  blockNumber: number;
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
  /** Of the block that they are of; undefined where it has none. */
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
      minedAt: small(fields.timestamp, 'timestamp'),
      miner: hex(fields.miner, 20, 'miner'),
      stateRoot: hex(fields.stateRoot, 32, 'stateRoot'),
      gasLimit: quantity(fields.gasLimit, 'gasLimit'),
      gasUsed: quantity(fields.gasUsed, 'gasUsed'),
      baseFee: optional(fields.baseFeePerGas, quantity, 'baseFeePerGas'),
      size: small(fields.size, 'size'),
      extraData: bytes(fields.extraData, 'extraData'),
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
  if (fields.blockHash !== hash) throw malformed(`a transaction of another block in block ${number}`);
  if (small(fields.transactionIndex, 'transactionIndex') !== index) throw malformed('transactions out of order');
  return {
    blockNumber: number,
    index,
    hash: hex(fields.hash, 32, 'hash'),
    type: fields.type === undefined ? 0 : small(fields.type, 'type'),
    sender: hex(fields.from, 20, 'from'),
    recipient: optional(fields.to, address, 'to'),
    nonce: quantity(fields.nonce, 'nonce'),
    value: quantity(fields.value, 'value'),
    gasLimit: quantity(fields.gas, 'gas'),
    gasPrice: optional(fields.gasPrice, quantity, 'gasPrice'),
    maxFee: optional(fields.maxFeePerGas, quantity, 'maxFeePerGas'),
    maxPriorityFee: optional(fields.maxPriorityFeePerGas, quantity, 'maxPriorityFeePerGas'),
    input: bytes(fields.input, 'input'),
  };
}

/** @param value a list of receipts: all of one block. */
export function decodeReceipts(value: Json, number: number): Receipts {
  const logs: LogRow[] = [];
  let blockHash: string | undefined;
  const receipts = listOf(value, 'receipts').map((each, index): ReceiptRow => {
    const fields = fieldsOf(each, 'a receipt');
    if (small(fields.blockNumber, 'blockNumber') !== number)
      throw malformed(`a receipt of another block than ${number}`);
    if (small(fields.transactionIndex, 'transactionIndex') !== index) throw malformed('receipts out of order');
    blockHash ??= hex(fields.blockHash, 32, 'blockHash');
    if (fields.blockHash !== blockHash) throw malformed(`receipts of two blocks as those of ${number}`);
    for (const log of listOf(fields.logs, 'logs')) {
      const row = decodeLog(log);
      if (row.blockNumber !== number || row.transactionIndex !== index) throw malformed('a log of another receipt');
      logs.push(row);
    }
    return {
      blockNumber: number,
      index,
      succeeded: fields.status === undefined || fields.status === null ? null : small(fields.status, 'status') === 1,
      gasUsed: quantity(fields.gasUsed, 'gasUsed'),
      gasPrice: optional(fields.effectiveGasPrice, quantity, 'effectiveGasPrice'),
      contract: optional(fields.contractAddress, address, 'contractAddress'),
    };
  });
  return { blockNumber: number, blockHash, receipts, logs };
}

export function decodeLog(value: Json): LogRow {
  const fields = fieldsOf(value, 'a log');
  const topics = listOf(fields.topics, 'topics').map((topic) => hex(topic, 32, 'topic'));
  if (topics.length > 4) throw malformed('a log with more than four topics');
  return {
    blockNumber: small(fields.blockNumber, 'blockNumber'),
    index: small(fields.logIndex, 'logIndex'),
    transactionIndex: small(fields.transactionIndex, 'transactionIndex'),
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
  if (!Array.isArray(value)) throw malformed(`${what} that are no list`);
  return value;
}

const QUANTITY = /^0x[0-9a-f]{1,64}$/i;
/** In hexadecimal digits, with '0x': below 2^52. */
const SAFE_LENGTH = 15;

function quantity(value: Json | undefined, name: string): string {
  if (typeof value !== 'string' || !QUANTITY.test(value)) throw malformed(`${name} that is no quantity`);
  return value.length <= SAFE_LENGTH ? String(parseInt(value, 16)) : BigInt(value).toString();
}

function small(value: Json | undefined, name: string): number {
  if (typeof value !== 'string' || !QUANTITY.test(value)) throw malformed(`${name} that is no quantity`);
  const number = parseInt(value, 16);
  if (!Number.isSafeInteger(number)) throw malformed(`${name} that is too large`);
  return number;
}

const BYTES = /^0x[0-9a-f]*$/;

function bytes(value: Json | undefined, name: string): string {
  if (typeof value === 'string' && value.length % 2 === 0) {
    if (BYTES.test(value)) return value;
    const lower = value.toLowerCase();
    if (BYTES.test(lower)) return lower;
  }
  throw malformed(`${name} that is no hexadecimal data`);
}

function hex(value: Json | undefined, length: number, name: string): string {
  if (typeof value !== 'string' || value.length !== 2 + 2 * length) throw malformed(`${name} of a wrong length`);
  return bytes(value, name);
}

function address(value: Json, name: string): string {
  return hex(value, 20, name);
}

function optional<T>(value: Json | undefined, decode: (value: Json, name: string) => T, name: string): T | null {
  return value === undefined || value === null ? null : decode(value, name);
}
