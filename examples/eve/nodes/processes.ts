/**
 * The nodes as processes: each has a name that stays, a way of its own to PostgreSQL and to Temporal that can be cut,
 * and one that was killed comes back after some seconds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Proxy } from '../../../test/support/proxy';
import { SETTINGS } from './settings';

const READY_MS = 60_000;
/** As long as a container takes to be started again. */
const BACK_MS = 3_000;

/** A server that a node needs. */
export type Server = 'postgres' | 'temporal';

export class NodeProcess {
  private child: ChildProcess | undefined;
  private comingBack: Promise<void> | undefined;
  private over = false;
  isReady = false;
  /** It is frozen or cut off. */
  isSick = false;
  /** Ends that nobody asked for. */
  crashes = 0;

  private constructor(
    readonly name: string,
    private readonly env: NodeJS.ProcessEnv,
    private readonly ways: Record<Server, Proxy>,
  ) {}

  /** @param env of the process, but for the addresses of the servers */
  static async of(
    name: string,
    env: NodeJS.ProcessEnv,
    { databaseUrl, temporalAddress }: { databaseUrl: string; temporalAddress: string },
  ): Promise<NodeProcess> {
    const postgres = await Proxy.start(databaseUrl);
    const temporal = await Proxy.start(`tcp://${temporalAddress}`);
    const ways = { DATABASE_URL: postgres.url, TEMPORAL_ADDRESS: new URL(temporal.url).host };
    return new NodeProcess(name, { ...env, ...ways, [SETTINGS.node]: name }, { postgres, temporal });
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, ['--require', 'tsx/cjs', path.join(__dirname, 'worker.ts')], {
      env: { ...process.env, ...this.env },
      // The channel ends with this process, and the node with the channel.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    this.child = child;
    const ended = once(child, 'exit').then(() => {
      this.isReady = false;
      throw new Error(`${this.name} ended before it was ready`);
    });
    ended.catch(() => undefined);
    const late = delay(READY_MS, undefined, { ref: false }).then(() => {
      throw new Error(`${this.name} was not ready in time`);
    });
    await Promise.race([once(child.stdout!, 'data'), ended, late]);
    this.isReady = true;
    child.once('exit', (code) => {
      if (child !== this.child || this.over) return;
      this.crashes++;
      process.stderr.write(`${this.name} ended by itself with ${String(code)}\n`);
      void this.start().catch(() => undefined);
    });
  }

  /** kill -9; it is started again some seconds later. */
  async kill(backMs = BACK_MS): Promise<void> {
    const { child } = this;
    this.child = undefined;
    this.isReady = false;
    if (child) await ended(child, 'SIGKILL');
    this.comingBack = delay(backMs, undefined, { ref: false }).then(() => (this.over ? undefined : this.start()));
    this.comingBack.catch(() => undefined);
  }

  /** Resolves when it is ready again after a kill. */
  async back(): Promise<void> {
    await this.comingBack;
  }

  /** It stands still as a whole, as a machine that is paused. */
  async freeze(forMs: number): Promise<void> {
    this.child?.kill('SIGSTOP');
    await this.thaw(forMs);
  }

  /** The same, with the fences of its pools locked in an open transaction. */
  async freezeInFlush(forMs: number): Promise<void> {
    const { child } = this;
    if (!child) return;
    const frozen = once(child, 'message');
    child.send('freeze in a flush');
    await frozen;
    await this.thaw(forMs);
  }

  /** Nothing passes between it and these servers, and neither is told. */
  async cutOff(from: readonly Server[], forMs: number): Promise<void> {
    this.isSick = true;
    for (const server of from) this.ways[server].swallow();
    await delay(forMs);
    for (const server of from) this.ways[server].pass();
    this.isSick = false;
  }

  async stop(): Promise<void> {
    this.over = true;
    const { child } = this;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGCONT');
      await ended(child, 'SIGKILL');
    }
    for (const way of Object.values(this.ways)) way.close();
  }

  private async thaw(afterMs: number): Promise<void> {
    const { child } = this;
    this.isSick = true;
    await delay(afterMs);
    child?.kill('SIGCONT');
    this.isSick = false;
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}
