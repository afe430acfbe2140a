/**
 * Runs operations marked `isolate` in worker threads (Piscina), which are ended when a time-out does not stop them: the only way
 * to stop code that never yields. The thread loads the config itself (`workers/isolate-thread.ts`), so what crosses is plain data.
 */
import type { Piscina } from 'piscina';
import type { RunContext } from '../../workers/config/definition';

/** What a thread is told of a run. */
export interface IsolatedTask {
  tracker: string;
  operation: string;
  part: 'run' | 'whenClosed';
  id: string;
  etag: string | undefined;
  fetchedAt: number | undefined;
}

export interface IsolationOptions {
  /** The thread's file, and what it needs to start. */
  filename: string;
  workerData: unknown;
  execArgv?: string[];
  threads: number;
}

export class Isolation {
  private pool: Promise<Piscina> | undefined;

  constructor(private readonly options: IsolationOptions) {}

  /** The run's signal ends the thread. */
  async run(context: RunContext, part: 'run' | 'whenClosed'): Promise<unknown> {
    const { tracker, operation, id, etag, fetchedAt, signal } = context;
    const task: IsolatedTask = { tracker, operation, part, id, etag, fetchedAt };
    const pool = await (this.pool ??= this.open());
    return (await pool.run(task, { signal })) as unknown;
  }

  async close(): Promise<void> {
    await (await this.pool)?.destroy();
  }

  /** Threads are only started where an operation asks for them. */
  private async open(): Promise<Piscina> {
    const { Piscina: Threads } = await import('piscina');
    const { filename, workerData, execArgv, threads } = this.options;
    const pool = new Threads({
      filename,
      workerData,
      execArgv,
      minThreads: 1,
      maxThreads: threads,
      idleTimeout: 60_000,
      // A thread that dies is replaced, and its task has failed; Piscina says so here as well.
    });
    pool.on('error', () => undefined);
    return pool;
  }
}
