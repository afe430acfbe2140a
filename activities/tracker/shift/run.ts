/** One run of an operation for one member, and what its code is told of it. Made by `operation.ts`. */
import type { Logger } from 'pino';
import type { RunContext } from '../../../config/define/tracker';
import type { Operation } from './host';
import type { Known } from './known';
import type { Members } from './members';
import type { Place } from './ring';
import { HoldError } from '../../../config/define/errors';
import type { Shortage } from '../../upstream/budget/spender';
import type { RunSpending } from '../../upstream/spend/run';
import { shortageOf } from '../../upstream/spend/shortage';

export class Run implements RunContext {
  settled = false;
  /** It was under way when its member was to be asked anew: it may have sent the ETag of before. */
  overtaken = false;
  /** Kept here: the slot may be another member's by the time that code which was given up asks. */
  readonly id: string;
  private controller: AbortController | undefined;
  /** When its code began; of an isolated run only known when its thread says so. */
  begunAt: number | undefined;

  constructor(
    private readonly loop: Pick<Operation, 'tracker' | 'name' | 'log'> & {
      readonly members: Members;
      readonly known: Known;
    },
    readonly slot: number,
    readonly startedAt: number,
    readonly due: number,
    readonly place: Place,
    readonly isolated: boolean,
    /** Tokens of its upstream's limits. */
    public spending?: RunSpending,
  ) {
    this.id = loop.members.id(slot);
    if (!isolated) this.begunAt = startedAt;
  }

  get tracker(): string {
    return this.loop.tracker;
  }
  get operation(): string {
    return this.loop.name;
  }
  get etag(): string | undefined {
    return this.settled || !this.loop.known.isOfVersion ? undefined : this.loop.known.etag(this.slot);
  }
  get fetchedAt(): number | undefined {
    return this.settled ? undefined : this.loop.known.fetchedAt(this.slot);
  }
  get log(): Logger {
    return this.loop.log;
  }
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.settled && !this.controller.signal.aborted) this.controller.abort(new Error('the run is over'));
    return this.controller.signal;
  }

  /** The bucket that had too little for what it asked; undefined: the error is another one. */
  shortage(error: Error): Shortage | undefined {
    if (!this.spending) return undefined;
    // From a thread an error comes as its words; the bucket was named here.
    return shortageOf(error) ?? (this.isolated && error instanceof HoldError ? this.spending.short : undefined);
  }

  abort(reason: string): void {
    this.controller?.abort(new Error(reason));
  }
}

/** A run that is to begin. */
export interface Start {
  slot: number;
  now: number;
  place: Place;
  part: 'run' | 'whenClosed';
  spending?: RunSpending;
  /** It cannot: it fails with this. */
  refused?: Error;
}
