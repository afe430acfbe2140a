/**
 * What an operation of a pool (`operation.ts`) needs of the node (`node.ts`) and of the shift (`pool-shift.ts`) that it
 * runs in.
 */
import type { RunContext } from '../../../config/define/tracker';
import type { Clock } from './clock';
import type { Holds } from './holds';
import type { Members } from './members';
import type { OperationLoop } from './operation';
import type { Ring } from './ring';

/** What an operation needs of its node. */
export interface OperationHost {
  clock: Clock;
  holds: Holds;
  ring: Ring;
  /** Runs an isolated operation in a worker thread; `begun` is called when its code begins there. */
  isolated(context: RunContext, part: 'run' | 'whenClosed', begun: () => void): Promise<unknown>;
  onError(error: Error, operation: OperationLoop, id: string): void;
  /** Notes which operation's code is about to run, for the watchdog. */
  entering(operation: OperationLoop): void;
  /** A pass over the members has ended. */
  roundEnded(operation: OperationLoop): void;
}

/** What an operation needs of its shift. */
export interface OperationShift {
  readonly claim: { readonly tracker: string; readonly pool: number };
  readonly members: Members;
  /** Why gated operations, or all of them, stand still. */
  closed(): 'paused' | 'gate' | 'over' | undefined;
  /** Another operation of the same pool, for backpressure. */
  loop(name: string): OperationLoop | undefined;
  /** Something of ours is broken: the shift crashes and is taken over. */
  end(error: Error): void;
}
