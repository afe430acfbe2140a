/**
 * Workers of an example as processes: one that ends, however, is replaced. Used by the examples that kill them; `file`
 * is the module of one worker, which writes 'ready' to stdout once it works and ends with its channel.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

const READY_MS = 60_000;

export class Workers {
  private readonly running = new Map<ChildProcess, { ready: boolean }>();
  private over = false;
  deaths = 0;

  constructor(
    private readonly file: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  start(): Promise<void> {
    const child = spawn(process.execPath, ['--require', 'tsx/cjs', this.file], {
      env: { ...process.env, ...this.env },
      // The channel ends with this process, and the worker with the channel.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    const state = { ready: false };
    this.running.set(child, state);
    child.once('exit', () => {
      this.running.delete(child);
      if (this.over) return;
      this.deaths += 1;
      void this.start().catch(() => undefined);
    });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('a worker was not ready in time')), READY_MS);
      const settle = (end: () => void) => (clearTimeout(timer), end());
      child.stdout!.once('data', () => settle(() => ((state.ready = true), resolve())));
      child.once('exit', (code) => settle(() => reject(new Error(`a worker ended with ${code}`))));
    });
  }

  /**
   * One of those that work, while another one does: on a slow machine a worker may take longer to start than to be
   * killed.
   */
  killOne(): void {
    const ready = [...this.running].filter(([, state]) => state.ready).map(([child]) => child);
    if (ready.length < 2) return;
    ready[Math.floor(Math.random() * ready.length)]?.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    this.over = true;
    await Promise.all(
      [...this.running.keys()].map(async (child) => {
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }),
    );
  }
}
