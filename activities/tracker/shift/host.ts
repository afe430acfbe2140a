/**
 * How an operation of a pool (`operation.ts`) and its surroundings know one another: the node (`node.ts`) and the shift
 * (`pool-shift.ts`) that it runs in, and its parts (`standing.ts`, `outcome.ts`, `known.ts`, `run.ts`). They import
 * this file and not the loop, so that no imports go in a circle.
 */
import type { Logger } from 'pino';
import type { OperationDefinition, RunContext } from '../../../config/define/tracker';
import type { OperationOptions, ReceiveOptions } from '../../../workflows/tracker/options';
import type { Slots } from '../../../workflows/tracker/slots';
import type { While } from '../member/idle';
import type { Agenda } from './agenda';
import type { Clock } from './clock';
import type { Counts, Rounds } from './counts';
import type { Holds } from './holds';
import type { Lateness } from './lateness';
import type { Members } from './members';
import type { Ring } from './ring';
import type { Purse, Spender } from '../../upstream/budget/spender';
import type { RunSpending } from '../../upstream/spend/run';

/** An operation of a pool as its parts and its node know it. */
export interface Operation {
  readonly tracker: string;
  readonly pool: number;
  readonly name: string;
  readonly log: Logger;
  readonly definition: OperationDefinition;
  /** The tracker's options of it; others take their place when they are changed. */
  readonly options: OperationOptions;
  readonly agenda: Agenda;
  readonly counts: Counts;
  readonly rounds: Rounds;
  /** Since when the tracker has it, or has it enabled, where that was after the tracker's start. */
  readonly beganAt: number | undefined;
}

/** The node of an operation, as the operation needs it. */
export interface OperationHost {
  clock: Clock;
  holds: Holds;
  ring: Ring;
  /** Keeps the limits of upstreams; absent: there are none. */
  spender?: Spender | undefined;
  /** Runs an isolated operation in a worker thread; `begun` is called when its code begins there. */
  isolated(
    context: RunContext & { readonly spending?: RunSpending | undefined },
    part: 'run' | 'whenClosed',
    begun: () => void,
  ): Promise<unknown>;
  onError(error: Error, operation: Operation, id: string): void;
  /** Notes which operation's code is about to run, for the watchdog. */
  entering(operation: Operation): void;
  /** A pass over the members has ended. */
  roundEnded(operation: Operation): void;
}

/** The turns of a pool whose members receive (`turns/pool.ts`), as its shift needs them. */
export interface PoolLife {
  /** These have joined, or left, or both. */
  changed(ids: Iterable<string>): void;
  /** The whole roster was read anew. */
  reloaded(isMember: (id: string) => boolean): void;
  /** The pool has these slots, and no others. */
  narrow(slots: Slots): void;
  /** Values of these members were written, of operations that have `apply`. By the keys of their rows. */
  wrote(keys: readonly number[]): void;
  /** The options of now; undefined: the tracker's members take no messages any more. */
  follow(options: ReceiveOptions | undefined, isPaused: boolean): void;
  /** @param operations of the pool that are enabled */
  isAwake(id: string, operations: readonly While[]): boolean;
}

/** The shift of an operation, as the operation needs it. */
export interface OperationShift {
  readonly claim: { readonly tracker: string; readonly pool: number };
  readonly members: Members;
  /** The buckets of its members that it keeps; absent: the upstreams have no limits. */
  readonly purse?: Purse | undefined;
  /** Whether the member is awake, for operations that run for no others. */
  readonly awake: { is(slot: number): boolean };
  /** Why gated operations, or all of them, stand still. */
  closed(): 'paused' | 'gate' | 'over' | undefined;
  /** Another operation of the same pool, for backpressure. */
  loop(name: string): { readonly frozenBy: string | undefined; lag(now: number): number } | undefined;
  /** Something of ours is broken: the shift crashes and is taken over. */
  end(error: Error): void;
}

/** All that a loop is made of. */
export interface OperationSetup {
  shift: OperationShift;
  name: string;
  definition: OperationDefinition;
  options: OperationOptions;
  host: OperationHost;
  log: Logger;
  /** Shared by all pools of the node. */
  lateness: Lateness;
  /**
   * Since when the tracker has the operation, or has it enabled, where that was after its start: a first run counts
   * from then at the earliest.
   */
  beganAt: number | undefined;
}
