/**
 * Runs operations marked `isolate` in worker threads (Piscina), which are ended when a time-out does not stop them: the
 * only way to stop code that never yields. The thread loads the config itself (`workers/isolate-thread.ts`), so what
 * crosses is plain data.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import type { RunContext } from '../../../config/define/tracker';
import type { Service } from '../../lib/service';
import { answerThread } from '../../upstream/spend/threads';
import type { RunSpending } from '../../upstream/spend/run';
import { EncodedResult, type StoredForm } from './stored-value';
import { unpackThrown, type Thrown } from './thrown';

/** The message to a thread about a run. */
export interface IsolatedTask {
  tracker: string;
  operation: string;
  part: 'run' | 'whenClosed';
  id: string;
  etag: string | undefined;
  fetchedAt: number | undefined;
  /** The thread says here that the operation's code begins. */
  begun: MessagePort;
  /** It asks here before each request of an upstream that has limits. */
  budget: MessagePort | undefined;
}

/** Its answer when the code has ended. */
export type IsolatedEnd = { result: unknown; stored?: StoredForm } | { thrown: Thrown };

export interface IsolationOptions {
  /** The thread's file, and what it needs to start. */
  filename: string;
  workerData: unknown;
  execArgv?: string[];
  threads: number;
}

/** More threads than any config has isolated operations; the ring gives out no more places than it should. */
const MOST_THREADS = 1_000;

export class Isolation implements Service {
  private opened: Promise<Piscina> | undefined;

  constructor(private readonly options: IsolationOptions) {}

  /** Runs at once. The node's ring keeps to it, so that a run finds a free thread, or one is started for it. */
  get threads(): number {
    return this.options.threads;
  }

  /** The run's signal ends the thread. `begun`: its code begins now, in a thread that has loaded the config. */
  async run(
    context: RunContext & { readonly spending?: RunSpending | undefined },
    part: 'run' | 'whenClosed',
    begun: () => void,
  ): Promise<unknown> {
    const { tracker, operation, id, etag, fetchedAt, signal, spending } = context;
    const threads = await (this.opened ??= this.open());
    const { port1, port2 } = new MessageChannel();
    port1.once('message', begun);
    port1.unref();
    const budget = spending && new MessageChannel();
    const stopAnswering = spending && answerThread(budget!.port1, spending);
    const task: IsolatedTask = { tracker, operation, part, id, etag, fetchedAt, begun: port2, budget: budget?.port2 };
    try {
      const end = (await threads.run(task, {
        signal,
        transferList: budget ? [port2, budget.port2] : [port2],
      })) as IsolatedEnd;
      if ('thrown' in end) throw unpackThrown(end.thrown);
      return end.stored ? new EncodedResult(end.result as object, end.stored) : end.result;
    } finally {
      port1.close();
      stopAnswering?.();
    }
  }

  /** Threads are only started where an operation asks for them. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await (await this.opened)?.destroy();
  }

  private async open(): Promise<Piscina> {
    const { Piscina: Threads } = await import('piscina');
    const { filename, workerData, execArgv } = this.options;
    const threads = new Threads({
      filename,
      workerData,
      execArgv,
      minThreads: 1,
      maxThreads: MOST_THREADS,
      idleTimeout: 60_000,
      // A thread that dies is replaced, and its task has failed; Piscina says so here as well.
    });
    threads.on('error', () => undefined);
    return threads;
  }
}
