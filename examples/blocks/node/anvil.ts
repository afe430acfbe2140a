/**
 * A node of one's own: anvil, a real EVM node that needs no network, from npm. Started by `main.ts`, the tests and the
 * bench on a free port of 127.0.0.1; it ends with this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Json } from 'longwatch';
import { RpcClient } from '../rpc/client';

export interface Anvil {
  /** For `RPC_URL`. */
  url: string;
  /** Any method, anvil's own (`anvil_reorg`, `evm_mine`) included. Throws what the node refuses. */
  call<T = Json>(method: string, ...params: Json[]): Promise<T>;
  /** The calls in one request; anvil handles them side by side. Throws when one of them fails. */
  calls<T = Json>(calls: { method: string; params: Json[] }[]): Promise<T[]>;
  stop(): Promise<void>;
}

const READY_MS = 30_000;

/** @param flags of anvil, added to a free port and no mining but on demand. */
export async function startAnvil(flags: readonly string[] = []): Promise<Anvil> {
  const args = ['--host', '127.0.0.1', '--port', '0', '--no-mining', '--no-request-size-limit', ...flags];
  const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const url = await listening(child).catch((error: unknown) => {
    kill();
    throw error;
  });
  const rpc = new RpcClient({ url, batchSize: 1_000, timeoutMs: 120_000 });
  return {
    url,
    call: async <T>(method: string, ...params: Json[]) => (await rpc.call(method, params)) as T,
    calls: async <T>(calls: { method: string; params: Json[] }[]) => {
      const outcomes = await rpc.batch(calls);
      return outcomes.map((outcome) => {
        if (!outcome.ok) throw outcome.error;
        return outcome.value as T;
      });
    },
    stop: async () => {
      await rpc.close();
      process.off('exit', kill);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      kill();
      await exited;
    },
  };
}

/** The program itself: its wrapper on PATH would be a second process, and outlive a kill. */
function binary(): string {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const name = `@foundry-rs/anvil-${process.platform}-${arch}/bin/anvil${process.platform === 'win32' ? '.exe' : ''}`;
  try {
    return require.resolve(name, { paths: [require.resolve('@foundry-rs/anvil/package.json')] });
  } catch {
    throw new Error(
      `There is no anvil for ${process.platform} on ${process.arch}: give the address of a node as RPC_URL`,
    );
  }
}

async function listening(child: ChildProcess): Promise<string> {
  let said = '';
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`anvil did not start: ${why}. ${said.slice(-300).trim()}`));
    const timer = setTimeout(() => fail(`not ready in ${READY_MS / 1_000} s`), READY_MS);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`it ended with ${code}`));
    child.stderr!.on('data', (data: Buffer) => (said += data.toString()));
    // Read on to the end: a full pipe would stop it.
    let ready = false;
    child.stdout!.on('data', (data: Buffer) => {
      if (ready) return;
      said += data.toString();
      const match = /Listening on ([\d.]+:\d+)/.exec(said);
      if (!match) return;
      ready = true;
      clearTimeout(timer);
      resolve(`http://${match[1]}`);
    });
  });
}
