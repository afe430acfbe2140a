/**
 * The means of a scenario: servers, processes and time, all of which end with the run, however it ends. Made by
 * `runner.ts`, one a run.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, Stack } from '../../test/support/stack';
import { Child } from './child';

export class Bench {
  private readonly closers: (() => Promise<unknown> | void)[] = [];

  constructor(
    /** Whether `--peers` was given: measure the peers as well. */
    readonly peers: boolean,
    /** Fires at Ctrl-C. `sleep` and `until` heed it. */
    readonly signal: AbortSignal,
    /** A line on stderr about what is being done. */
    readonly say: (line: string) => void,
  ) {}

  /** Temporal, PostgreSQL with Longwatch's tables, and what runs on them (`test/support/stack.ts`). */
  async stack(options: { synchronous?: 'OFF' | 'FULL' } = {}): Promise<Stack> {
    this.say('starting Temporal and PostgreSQL');
    const stack = await Stack.start({ ...options, onProgress: this.say });
    this.defer(() => stack.close());
    return stack;
  }

  /** A TypeScript module in a process of its own, ready to be called (`child.ts`). */
  async child(file: string, env: NodeJS.ProcessEnv = {}, nodeFlags: readonly string[] = []): Promise<Child> {
    const child = new Child(file, env, nodeFlags);
    this.defer(() => child.kill());
    await child.ready;
    return child;
  }

  /** Done at the end of the run; the last that was deferred first. */
  defer(close: () => Promise<unknown> | void): void {
    this.closers.push(close);
  }

  /** Rejects at Ctrl-C. */
  async sleep(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.signal });
  }

  /** Looks until it is so; rejects with `what` when it is not within the time (milliseconds), and at Ctrl-C. */
  async until(what: string, look: () => Promise<boolean> | boolean, withinMs = 60_000): Promise<void> {
    let interrupted = false;
    await eventually(
      what,
      async () => {
        interrupted = this.signal.aborted;
        return interrupted || (await look());
      },
      withinMs,
    );
    this.signal.throwIfAborted();
  }

  /** Called by the runner. Ends everything, whatever fails on the way. */
  async close(): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        this.say(`while ending: ${(error as Error).message}`);
      }
    }
  }
}
