/** The nodes as processes: each has a name that stays, and one that was killed comes back after some seconds. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SETTINGS } from './settings';

const READY_MS = 60_000;
/** As long as a container takes to be started again. */
const BACK_MS = 3_000;

export class NodeProcess {
  private child: ChildProcess | undefined;
  private over = false;
  isReady = false;
  isFrozen = false;
  /** Ends that nobody asked for. */
  crashes = 0;

  constructor(
    readonly name: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  async start(): Promise<void> {
    const child = spawn(process.execPath, ['--require', 'tsx/cjs', path.join(__dirname, 'worker.ts')], {
      env: { ...process.env, ...this.env, [SETTINGS.node]: this.name },
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
  async kill(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    this.isReady = false;
    if (child) await ended(child, 'SIGKILL');
    void delay(BACK_MS, undefined, { ref: false }).then(() => {
      if (!this.over) return this.start().catch(() => undefined);
    });
  }

  /** It stands still as a whole, as a machine that is paused. */
  async freeze(forMs: number): Promise<void> {
    const { child } = this;
    this.isFrozen = true;
    child?.kill('SIGSTOP');
    await delay(forMs);
    child?.kill('SIGCONT');
    this.isFrozen = false;
  }

  async stop(): Promise<void> {
    this.over = true;
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    await ended(child, 'SIGKILL');
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}
