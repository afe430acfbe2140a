/**
 * The call of an operation's code for one run: in its lane of the upstream's connections, with what it may spend, here
 * or in a thread. Called by `operation.ts`, which waits for what comes of it.
 */
import { enterLane } from '../../upstream/lane';
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
