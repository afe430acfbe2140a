/**
 * The facts of a pool's workflow that its parts share: its carried state, what its opening found, whether a shift runs;
 * and how they are shown to a person. Made by `pool.ts`; its parts (`roster-applies.ts`, `shift-runs.ts`) change it.
 */
import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { causeOf } from '../lib/failed-activity';
import { errorMessage } from '../lib/text';
import {
  nodeShiftQueue,
  sharedShiftQueue,
  type PoolInput,
  type PoolOpening,
  type PoolState,
  type PoolStatus,
} from './contract';
import { freshPoolState, placementNow } from './plan';
import { POOL_TUNABLES } from './tunables';

export class PoolFacts {
  readonly tracker: string;
  readonly pool: number;
  /** The part that continue-as-new carries. */
  readonly state: PoolState;
  /** The tracker's options as the database had them; undefined: they are to be read. */
  opening: PoolOpening | undefined;
  /** The label of the opening before, to be shown until the options are read again. */
  private labelBefore: string | undefined;
  stopped = false;
  onShift = false;
  /** The task queue of the shift that runs. */
  queue: string | undefined;
  /** Raised by whatever may change the next step. */
  happenings = 0;
  private describedMembers = -1;

  constructor(input: PoolInput) {
    this.tracker = input.tracker;
    this.pool = input.pool;
    this.state = input.state ?? freshPoolState();
  }

  happened(): void {
    this.happenings++;
  }

  /** Has the pool opened anew: only what the database says now ends a pool. */
  lookAgain(): void {
    this.stopped = false;
    this.labelBefore = this.label();
    this.opening = undefined;
  }

  noteError(error: unknown): void {
    this.state.lastError = errorMessage(causeOf(error)).slice(0, POOL_TUNABLES.errorLength);
  }

  status(): PoolStatus {
    const { state } = this;
    return {
      tracker: this.tracker,
      pool: this.pool,
      state: this.phase(),
      members: state.members,
      shift: state.shift,
      pendingChanges: state.pending.length,
      lastShift: state.lastShift,
      lastError: state.lastError,
      queue: this.shownQueue(),
      wanted: state.wanted,
      unbegun: state.unbegun,
    };
  }

  /** Shows this pool in the Temporal UI. */
  describe(): void {
    const { state } = this;
    if (this.describedMembers !== state.members) {
      this.describedMembers = state.members;
      upsertSearchAttributes({
        LongwatchTracker: [this.tracker],
        LongwatchPool: [this.pool],
        LongwatchMembers: [state.members],
      });
    }
    setCurrentDetails(
      `**${this.tracker}**, pool ${this.pool}: ${state.members} members, ${this.phase()}, shift ${state.shift}` +
        (state.lastError === undefined ? '' : `\n\nlast error: ${state.lastError}`),
    );
  }

  /** That of the shift that runs, or that comes next: an operator's wish is for the one after. */
  private shownQueue(): string {
    if (this.onShift && this.queue !== undefined) return this.queue;
    const { to } = placementNow(this.state, 0);
    return to === undefined ? sharedShiftQueue(this.label()) : nodeShiftQueue(to);
  }

  private label(): string | undefined {
    return this.opening === undefined ? this.labelBefore : this.opening.label;
  }

  private phase(): PoolStatus['state'] {
    if (!this.opening) return 'opening';
    if (this.state.quarantined) return 'quarantined';
    if (this.stopped) return 'ending';
    return this.onShift ? 'on shift' : 'between shifts';
  }
}
