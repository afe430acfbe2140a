/**
 * The part of a pool's workflow (`pool.ts`) that has accepted changes written: one `applyRoster` at a time, in the
 * order in which they came. `plan.ts` decides when and how many.
 */
import { condition, getExternalWorkflowHandle, isCancellation, log, proxyActivities } from '@temporalio/workflow';
import { RETRY } from '../lib/retry';
import { grownSignal, trackerWorkflowId, type TrackerActivities } from './contract';
import { batchOf, oweApply } from './plan';
import type { PoolFacts } from './pool-facts';
import { POOL_TUNABLES } from './tunables';

const { applyRoster } = proxyActivities<TrackerActivities>({
  startToCloseTimeout: POOL_TUNABLES.activityMs,
  retry: RETRY,
});
const { applyRoster: applyLast } = proxyActivities<TrackerActivities>({
  startToCloseTimeout: POOL_TUNABLES.activityMs,
  scheduleToCloseTimeout: POOL_TUNABLES.lastAppliesMs,
  retry: RETRY,
});

export class RosterApplies {
  applying = false;
  /** The applies that count against the next one, as a time (`oweApply`). */
  owedUntilMs = 0;
  /** PostgreSQL did not take the last changes: there is no apply before this. */
  notBeforeMs = 0;
  private askedForGrowthAt = 0;

  constructor(private readonly facts: PoolFacts) {}

  /** Has the oldest pending changes written, all or none; they stay pending until that has happened. */
  async apply(count: number): Promise<void> {
    const { facts } = this;
    const { tracker, pool, state } = facts;
    this.applying = true;
    this.owedUntilMs = oweApply(this.owedUntilMs, Date.now());
    try {
      const applied = await applyRoster({ tracker, pool, changes: state.pending.slice(0, count) });
      state.pending.splice(0, count);
      const before = state.members;
      state.members = applied.poolMembers;
      const fullest = Math.max(state.members, applied.fullest ?? 0);
      if (fullest <= applied.poolSize) this.askedForGrowthAt = 0;
      // Linear hashing leaves some pools larger than others, so asking again waits for a tenth more.
      if (fullest > applied.poolSize && fullest > this.askedForGrowthAt * 1.1) await this.askForGrowth(fullest);
      // The numbers shown in the UI follow by a tenth, so that a stream of adds is not a stream of events.
      if (before === 0 || Math.abs(state.members - before) > before / 10) facts.describe();
    } catch (error) {
      // A cancelled workflow applies them before it ends.
      if (isCancellation(error)) return;
      facts.noteError(error);
      this.notBeforeMs = Date.now() + POOL_TUNABLES.failedPauseMs;
      log.error('Changes of the roster could not be applied; trying again in 10 s', { tracker, pool, error });
    } finally {
      this.applying = false;
      facts.happened();
    }
  }

  /** Applies all that a cancelled pool has accepted, unless PostgreSQL is away for as long as that. */
  async applyBeforeEnd(): Promise<void> {
    const { tracker, pool, state } = this.facts;
    await condition(() => !this.applying);
    const untilMs = Date.now() + POOL_TUNABLES.lastAppliesMs;
    try {
      while (state.pending.length > 0 && Date.now() < untilMs) {
        const count = batchOf(state.pending);
        await applyLast({ tracker, pool, changes: state.pending.slice(0, count) });
        state.pending.splice(0, count);
      }
    } catch (error) {
      log.error('A cancelled pool could not apply what it had accepted', { tracker, pool, error });
    }
    if (state.pending.length > 0) {
      log.error('Changes of the roster were lost with a cancelled pool; reconcile shows which', {
        tracker,
        pool,
        changes: state.pending.length,
      });
    }
  }

  private async askForGrowth(members: number): Promise<void> {
    const { tracker, pool } = this.facts;
    this.askedForGrowthAt = members;
    try {
      await getExternalWorkflowHandle(trackerWorkflowId(tracker)).signal(grownSignal);
    } catch (error) {
      // A root that is gone comes back by the patrol, and then the next apply asks again.
      this.askedForGrowthAt = 0;
      log.warn('The tracker was not told to grow', { tracker, pool, error });
    }
  }
}
