/**
 * A part of a scenario in a process of its own, so that it has its own core as the real thing would: the upstream, a
 * bare loop, a peer's worker. The parent makes a `Child` and calls it; the child's module says `serve({ … })` what can
 * be called.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

type Handlers = Record<string, (...args: never[]) => unknown>;

interface Call {
  id: number;
  name: string;
  args: unknown[];
}

type Message = 'ready' | { id: number; result?: unknown; error?: string };

export class Child {
  readonly process: ChildProcess;
  /** Resolves when its module has called `serve`. */
  readonly ready: Promise<void>;
  private readonly exited: Promise<unknown>;
  private readonly waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  private calls = 0;

  /** @param file absolute. @param env over this process's own. @param nodeFlags for Node itself. */
  constructor(file: string, env: NodeJS.ProcessEnv = {}, nodeFlags: readonly string[] = []) {
    this.process = fork(file, [], {
      env: { ...process.env, ...env },
      execArgv: [...nodeFlags, '--require', require.resolve('tsx/cjs')],
      // Its output is for people: only results may go to stdout.
      stdio: ['ignore', 2, 2, 'ipc'],
    });
    this.exited = once(this.process, 'exit');
    this.ready = new Promise((resolve, reject) => {
      this.process.on('message', (message: Message) => {
        if (message === 'ready') resolve();
        else this.settle(message);
      });
      this.process.once('exit', (code, signal) => {
        const error = new Error(`${path.basename(file)} ended (${signal ?? code})`);
        reject(error);
        for (const { reject: fail } of this.waiting.values()) fail(error);
        this.waiting.clear();
      });
    });
    this.ready.catch(() => undefined);
  }

  /** Calls a handler of the child; its failure is ours. */
  call<R>(name: string, ...args: unknown[]): Promise<R> {
    const call: Call = { id: ++this.calls, name, args };
    return new Promise((resolve, reject) => {
      this.waiting.set(call.id, { resolve: resolve as (result: unknown) => void, reject });
      this.process.send(call);
    });
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGKILL');
    await this.exited;
  }

  private settle({ id, result, error }: Exclude<Message, 'ready'>): void {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  }
}

/** The child's side: what its parent may call. Arguments and results are what JSON can say. */
export function serve(handlers: Handlers): void {
  const answer = (message: Message) => process.send!(message);
  process.on('message', ({ id, name, args }: Call) => {
    Promise.resolve()
      .then(() => handlers[name]!(...(args as never[])))
      .then(
        (result) => answer({ id, result }),
        (error: Error) => answer({ id, error: error.message }),
      );
  });
  // Nobody is left who would ask.
  process.on('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole group; the parent ends its children itself.
  process.on('SIGINT', () => undefined);
  answer('ready');
}
