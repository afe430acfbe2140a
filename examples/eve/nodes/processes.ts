/**
 * The nodes as processes: each has a name that stays, a way of its own to PostgreSQL and to Temporal that can be cut,
 * and one that was killed comes back after some seconds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SETTINGS } from './settings';
import type { Server, Ways } from './ways';

const READY_MS = 60_000;
/** As long as a container takes to be started again. */
const BACK_MS = 3_000;

export class NodeProcess {
  private child: ChildProcess | undefined;
  private comingBack: Promise<void> | undefined;
  private over = false;
  isReady = false;
  /** It is frozen or cut off. */
  isSick = false;
  /** Ends that nobody asked for. */
  crashes = 0;

  constructor(
    readonly name: string,
    private readonly env: NodeJS.ProcessEnv,
    private readonly ways: Ways,
    /** The module of its process. */
    private readonly file = path.join(__dirname, 'worker.ts'),
  ) {}

  async start(): Promise<void> {
    const { before, addresses } = this.ways;
    const worker = [process.execPath, '--require', 'tsx/cjs', this.file];
    const [command, ...args] = [...before, ...worker] as [string, ...string[]];
    const told = {
      ...{ DATABASE_URL: addresses.databaseUrl, TEMPORAL_ADDRESS: addresses.temporalAddress },
      ...{ [SETTINGS.origin]: addresses.origin, [SETTINGS.node]: this.name },
    };
    const child = spawn(command, args, {
      env: { ...process.env, ...this.env, ...told },
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

  /** SIGTERM, and it is started again when it has ended. */
  async restart(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    this.isReady = false;
    if (child) await ended(child, 'SIGTERM');
    await this.start();
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
    for (const server of from) await this.ways.cut(server);
    await delay(forMs);
    for (const server of from) await this.ways.mend(server);
    this.isSick = false;
  }

  async stop(): Promise<void> {
    this.over = true;
    const { child } = this;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGCONT');
      await ended(child, 'SIGKILL');
    }
    await this.ways.close();
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
