/**
 * The call of an operation's code for one run: in its lane of the upstream's connections, with what it may spend, here
 * or in a thread. Called by `operation.ts`, which waits for what comes of it.
 */
import { enterLane } from '../../upstream/lane';
import { RunSpending } from '../../upstream/spend/run';
import { spendingAs } from '../../upstream/spending';
import type { Operation, OperationHost } from './host';
import type { Run } from './run';

interface Caller extends Operation {
  readonly host: OperationHost;
  /** The owner of its requests where connections are shared. */
  readonly lane: string;
}

/** @returns what the code returned; a promise, where it is anything like one. @throws what it threw at once */
export function callCode(loop: Caller, run: Run, part: 'run' | 'whenClosed', begun: () => void): unknown {
  const { host, definition } = loop;
  // A thread has no worker to ask: whatever its code asks goes by way of the run.
  if (run.isolated && host.spender)
    run.spending ??= new RunSpending(host.spender, { class: 'watch', by: loop.lane, id: run.id });
  const { spending } = run;
  let returned: unknown;
  try {
    host.entering(loop);
    enterLane(loop.lane);
    const code = part === 'run' ? definition.run : definition.whenClosed!;
    if (run.isolated) returned = host.isolated(run, part, begun);
    else returned = spending ? spendingAs(spending, () => code(run)) : code(run);
  } finally {
    enterLane(undefined);
  }
  // A value that only looks like a promise is made one: its `then` may throw, or call back twice.
  return !(returned instanceof Promise) && isThenable(returned) ? Promise.resolve(returned) : returned;
}

function isThenable(value: unknown): value is Promise<unknown> {
  return value !== null && typeof value === 'object' && typeof (value as { then?: unknown }).then === 'function';
}
