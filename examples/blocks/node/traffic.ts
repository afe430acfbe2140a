/**
 * Life on a chain of one's own: blocks with transactions of every kind that the tables know, some of them failing, some
 * blocks empty. The content of the n-th block of a run follows from n, so that a run can be repeated.
 */
import { setTimeout } from 'node:timers/promises';
import type { Json } from 'longwatch';
import type { Anvil } from './anvil';
import { mint, TOKEN, transfer } from './token';

const toHex = (value: number | bigint): string => `0x${value.toString(16)}`;
const GAS = toHex(1_000_000);

type Transaction = Record<string, string>;

export class Traffic {
  private count = 0;
  private nonces: number[] = [];
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly anvil: Anvil,
    private readonly accounts: readonly string[],
    private readonly token: string,
  ) {}

  /** Puts the contract on the chain: its first block. */
  static async start(anvil: Anvil): Promise<Traffic> {
    const accounts = await anvil.call<string[]>('eth_accounts');
    const hash = await anvil.call<string>('eth_sendTransaction', { from: accounts[0]!, data: TOKEN, gas: GAS });
    await anvil.call('evm_mine');
    const receipt = await anvil.call<{ contractAddress: string }>('eth_getTransactionReceipt', hash);
    const traffic = new Traffic(anvil, accounts, receipt.contractAddress);
    await traffic.readNonces();
    return traffic;
  }

  /** So many blocks more. */
  async mine(blocks: number): Promise<void> {
    for (let k = 0; k < blocks; k++) {
      const transactions = this.transactions(this.count++);
      await this.anvil.calls(transactions.map((each) => ({ method: 'eth_sendTransaction', params: [each] })));
      await this.anvil.call('evm_mine');
    }
  }

  /** A block now and then, until the answer is called; that resolves when the last one is mined. */
  run(everyMs: number): () => Promise<void> {
    const ending = new AbortController();
    const running = (async () => {
      while (!ending.signal.aborted) {
        await this.turn(() => this.mine(1));
        await setTimeout(everyMs, undefined, { signal: ending.signal }).catch(() => undefined);
      }
    })();
    return async () => {
      ending.abort();
      await running;
    };
  }

  /** Replaces the last blocks by as many others, with transactions of their own. */
  reorganise(depth: number): Promise<void> {
    return this.turn(() => this.replaceLast(depth));
  }

  private async replaceLast(depth: number): Promise<void> {
    const head = parseInt(await this.anvil.call<string>('eth_blockNumber'), 16);
    await this.readNonces(toHex(head - depth));
    const transactions = Array.from({ length: depth }, (_, block) =>
      this.transactions(this.count++).map((each): Json => [each, block]),
    );
    await this.anvil.call('anvil_reorg', depth, transactions.flat());
    // The transactions of the blocks that are gone wait to be mined again, or were thrown away.
    await this.anvil.call('anvil_dropAllTransactions');
    await this.readNonces();
  }

  /** Takes the last blocks away: the chain is shorter then. */
  async rollBack(depth: number): Promise<void> {
    await this.anvil.call('anvil_rollback', depth);
    await this.anvil.call('anvil_dropAllTransactions');
    await this.readNonces();
  }

  /** One at a time: a block that is mined while the chain is replaced would have the nonces of neither. */
  private turn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.last.then(work);
    this.last = turn.catch(() => undefined);
    return turn;
  }

  private async readNonces(block = 'latest'): Promise<void> {
    const nonces = await this.anvil.calls<string>(
      this.accounts.map((account) => ({ method: 'eth_getTransactionCount', params: [account, block] })),
    );
    this.nonces = nonces.map((nonce) => parseInt(nonce, 16));
  }

  /** The transactions of the n-th block: none to four. */
  private transactions(n: number): Transaction[] {
    return Array.from({ length: (n * 7) % 5 }, (_, k) => {
      const from = (n * 3 + k) % this.accounts.length;
      const other = this.accounts[(from + 1 + (n % 5)) % this.accounts.length]!;
      const base = { from: this.accounts[from]!, gas: GAS, nonce: toHex(this.nonces[from]!++) };
      switch ((n + k) % 6) {
        case 0:
          return { ...base, to: other, value: toHex(10n ** 15n + BigInt(n)) };
        case 1:
          return { ...base, to: this.token, data: transfer(other, 1 + (n % 100)) };
        case 2:
          // More than anybody has: mined, and failed.
          return { ...base, to: this.token, data: transfer(other, 10 ** 12) };
        case 3:
          return n % 50 === 3 ? { ...base, data: TOKEN } : { ...base, to: this.token, data: mint([other], 1_000) };
        default:
          return { ...base, to: this.token, data: mint(this.accounts.slice(0, 1 + (n % 4)), 1_000) };
      }
    });
  }
}
