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
import { isFailureOf, neverStarted } from '../lib/failed-activity';
import { RETRY_SHIFT } from '../lib/retry';
import type { ShiftResult, TrackerActivities, Unbegun } from './contract';
import {
  pauseAfter,
  placementAfter,
  placementAfterFailure,
  placementNow,
  scheduleOf,
  shiftDuration,
  unbegunAfter,
  type ShiftSchedule,
} from './plan';
import type { PoolFacts } from './pool-facts';
import { POOL_TUNABLES } from './tunables';

const { noteUnbegun } = proxyActivities<TrackerActivities>({
  scheduleToCloseTimeout: POOL_TUNABLES.noteMs,
  retry: { maximumAttempts: 1 },
});

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
    const { state } = facts;
    facts.onShift = true;
    state.shift++;
    state.placement = placementNow(state, Date.now());
    delete state.wanted;
    const schedule = scheduleOf(state.placement, facts.opening!, state.unbegun, Date.now());
    facts.queue = schedule.taskQueue;
    const scope = new CancellationScope();
    this.scope = scope;
    try {
      this.note(await scope.run(() => this.activity(schedule)));
    } catch (error) {
      await this.noteFailure(error, schedule);
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
    state.placement = placementAfter(state.placement ?? {}, result, Date.now());
    delete state.unbegun;
    // Also where it says nothing of a label: then there is none any more.
    if (facts.opening && result.options) {
      facts.opening = { ...facts.opening, label: undefined, ...result.options };
    }
    // One that never began has not counted them.
    if (result.ranMs > 0) state.members = result.members;
    this.notBeforeMs = Date.now() + pauseAfter(result, state.placement);
    // Not believed at once: it may have been started again meanwhile, and its wake has come already.
    if (result.end === 'stopped') facts.lookAgain();
    if (result.end === 'quarantined') {
      state.quarantined = true;
      state.lastError = 'crashed three times in a row';
    }
  }

  private async noteFailure(error: unknown, schedule: ShiftSchedule): Promise<void> {
    const { facts } = this;
    const { tracker, pool, state } = facts;
    const before = state.placement ?? {};
    // A cancelled workflow ends in the loop, where `condition` throws.
    if (isCancellation(error)) {
      state.placement = placementAfterFailure(before, 'withdrawn');
      return;
    }
    if (neverStarted(error)) {
      state.placement = placementAfterFailure(before, 'unbegun');
      const unbegun = unbegunAfter(state.unbegun, schedule, Date.now());
      if (unbegun === undefined || unbegun === state.unbegun) return;
      await this.report(unbegun);
      // It may have another label by now.
      facts.lookAgain();
      return;
    }
    state.placement = placementAfterFailure(before, 'failed');
    delete state.unbegun;
    facts.noteError(error);
    if (isFailureOf(error, ErrorType.PoolNotCurrent)) this.replaced = error as Error;
    // Temporal itself tries again what comes by the shared queue.
    if (schedule.once) return;
    this.notBeforeMs = Date.now() + POOL_TUNABLES.failedPauseMs;
    log.error('A shift failed for good; the next one follows in 10 s', { tracker, pool, error });
  }

  /** It is asked for again whether or not that could be written down. */
  private async report(unbegun: Unbegun): Promise<void> {
    const { tracker, pool, state } = this.facts;
    state.unbegun = unbegun;
    if (unbegun.times === 1) {
      log.warn('no node has begun a shift of this pool: none takes from its queue, or those that do are full', {
        tracker,
        pool,
        queue: unbegun.queue,
        forMs: unbegun.untilMs - unbegun.sinceMs,
      });
    }
    await noteUnbegun({ tracker, pool, unbegun }).catch((error: unknown) => {
      if (!isCancellation(error)) log.debug('it could not be written down that no node begins a shift', { error });
    });
  }

  private activity({ taskQueue, beginWithinMs, once, input }: ShiftSchedule): Promise<ShiftResult> {
    const { tracker, pool, state, opening } = this.facts;
    const { shiftMs, heartbeatTimeoutMs } = opening!;
    const durationMs = shiftDuration(shiftMs, pool, state.shift);
    const { shift } = proxyActivities<TrackerActivities>({
      taskQueue,
      scheduleToStartTimeout: beginWithinMs,
      // A shift whose time is up waits for its runs, which may take as long as the longest time-out there is; one that
      // hangs is ended by its heartbeat first.
      startToCloseTimeout: durationMs + 10 * heartbeatTimeoutMs + POOL_TUNABLES.longestRunMs,
      heartbeatTimeout: heartbeatTimeoutMs,
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      // Pools that wait for a node: those of a large tracker do not come before those of a small one.
      priority: { fairnessKey: tracker },
      summary: `shift ${state.shift}: ${state.members} members`,
      retry: once ? { maximumAttempts: 1 } : RETRY_SHIFT,
    });
    return shift({ tracker, pool, shift: state.shift, durationMs, ...input });
  }
}
