/**
 * The part of a pool's workflow (`pool.ts`) that runs its shifts, one after the other: it starts the `shift` activity,
 * asks it to end, and notes the result. `plan.ts` decides when.
 */
import {
  ActivityCancellationType,
  CancellationScope,
  isCancellation,
  log,
  proxyActivities,
} from '@temporalio/workflow';
import { ErrorType } from '../lib/errors';
import { isFailureOf } from '../lib/failed-activity';
import { RETRY } from '../lib/retry';
import type { ShiftResult, TrackerActivities } from './contract';
import { pauseAfter, shiftDuration } from './plan';
import type { PoolFacts } from './pool-facts';
import { POOL_TUNABLES } from './tunables';

export class ShiftRuns {
  /** There is no shift before this. */
  notBeforeMs = 0;
  /** Another run has taken this one's place: nothing here may go on. */
  replaced: Error | undefined;
  private scope: CancellationScope | undefined;

  constructor(private readonly facts: PoolFacts) {}

  get isAskedToEnd(): boolean {
    return this.facts.onShift && this.scope === undefined;
  }

  askToEnd(): void {
    this.scope?.cancel();
    this.scope = undefined;
  }

  /** Runs one shift from its start to its result. Every way it can end leaves a pool that goes on. */
  async run(): Promise<void> {
    const { facts } = this;
    const { tracker, pool, state } = facts;
    facts.onShift = true;
    state.shift++;
    const scope = new CancellationScope();
    this.scope = scope;
    try {
      this.note(await scope.run(() => this.activity()));
    } catch (error) {
      // A cancelled workflow ends in the loop, where `condition` throws.
      if (!isCancellation(error)) {
        facts.noteError(error);
        if (isFailureOf(error, ErrorType.PoolNotCurrent)) this.replaced = error as Error;
        this.notBeforeMs = Date.now() + POOL_TUNABLES.failedPauseMs;
        log.error('A shift failed for good; the next one follows in 10 s', { tracker, pool, error });
      }
    } finally {
      facts.onShift = false;
      this.scope = undefined;
      facts.describe();
      facts.happened();
    }
  }

  private note(result: ShiftResult): void {
    const { facts } = this;
    const { state } = facts;
    state.lastShift = result;
    if (facts.opening && result.options) facts.opening = { ...facts.opening, ...result.options };
    state.members = result.members;
    this.notBeforeMs = Date.now() + pauseAfter(result.end);
    // Not believed at once: it may have been started again meanwhile, and its wake has come already.
    if (result.end === 'stopped') facts.lookAgain();
    if (result.end === 'quarantined') {
      state.quarantined = true;
      state.lastError = 'crashed three times in a row';
    }
  }

  private activity(): Promise<ShiftResult> {
    const { tracker, pool, state, opening } = this.facts;
    const { shiftMs, heartbeatTimeoutMs } = opening!;
    const durationMs = shiftDuration(shiftMs, pool, state.shift);
    const { shift } = proxyActivities<TrackerActivities>({
      // A shift whose time is up waits for its runs, which may take as long as the longest time-out there is; one that
      // hangs is ended by its heartbeat first.
      startToCloseTimeout: durationMs + 10 * heartbeatTimeoutMs + POOL_TUNABLES.longestRunMs,
      heartbeatTimeout: heartbeatTimeoutMs,
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary: `shift ${state.shift}: ${state.members} members`,
      retry: RETRY,
    });
    return shift({ tracker, pool, shift: state.shift, durationMs });
  }
}
