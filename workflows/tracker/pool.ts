/**
 * The workflow that owns one pool of a tracker's members. It takes in adds and removals, has them applied
 * (`roster-applies.ts`, then `activities/tracker/roster`), and runs shifts (`shift-runs.ts`, then
 * `activities/tracker/shift`), which do the watching. Started by the first signal (signal-with-start, `client/`),
 * carried on by continue-as-new. `nextPoolStep` in `plan.ts` decides the next step.
 */
import {
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  proxyActivities,
  setHandler,
} from '@temporalio/workflow';
import { historyFull, leaveWhenQuiet } from '../lib/continue-as-new';
import { RETRY } from '../lib/retry';
import {
  addSignal,
  moveSignal,
  poolStatusQuery,
  removeSignal,
  wakeSignal,
  type PoolInput,
  type TrackerActivities,
} from './contract';
import { nextPoolStep, readMove, readRoster, waitsElsewhere, type PoolMoment } from './plan';
import { PoolFacts } from './pool-facts';
import { RosterApplies } from './roster-applies';
import { ShiftRuns } from './shift-runs';
import { POOL_TUNABLES } from './tunables';

const { openPool } = proxyActivities<TrackerActivities>({
  startToCloseTimeout: POOL_TUNABLES.activityMs,
  retry: RETRY,
});

export async function pool(input: PoolInput): Promise<void> {
  const workflow = new PoolWorkflow(input);
  workflow.listen();
  try {
    await workflow.decideAndCarryOut();
  } catch (error) {
    if (isCancellation(error)) await CancellationScope.nonCancellable(() => workflow.applies.applyBeforeEnd());
    throw error;
  }
}

class PoolWorkflow {
  private readonly facts: PoolFacts;
  readonly applies: RosterApplies;
  private readonly shifts: ShiftRuns;
  /** Counted, so that an opening notices one that came while it looked. */
  private wakes = 0;

  constructor(input: PoolInput) {
    this.facts = new PoolFacts(input);
    this.applies = new RosterApplies(this.facts);
    this.shifts = new ShiftRuns(this.facts);
  }

  /** Sets the handlers, which only note what was said. */
  listen(): void {
    const { facts } = this;
    const { state } = facts;
    setHandler(addSignal, (payload) => {
      state.pending.push(...readRoster(payload, 'add'));
      facts.happened();
    });
    setHandler(removeSignal, (payload) => {
      state.pending.push(...readRoster(payload, 'remove'));
      facts.happened();
    });
    setHandler(wakeSignal, (message) => {
      if (message?.release && state.quarantined) {
        state.quarantined = false;
        facts.describe();
      }
      // The tracker may have been started again while this pool was about to end, or its pools may go elsewhere now.
      this.wakes++;
      if (facts.stopped || state.unbegun !== undefined) facts.lookAgain();
      facts.happened();
    });
    setHandler(moveSignal, (message) => {
      const to = readMove(message);
      if (to === undefined) return;
      state.wanted = to;
      facts.happened();
    });
    setHandler(poolStatusQuery, () => facts.status());
  }

  /** The loop: decide, carry out, wait. */
  async decideAndCarryOut(): Promise<void> {
    for (;;) {
      if (this.shifts.replaced !== undefined) throw this.shifts.replaced;
      const step = this.next();
      switch (step.do) {
        case 'open':
          await this.open();
          break;
        case 'apply':
          void this.applies.apply(step.count);
          break;
        case 'startShift':
          void this.shifts.run();
          break;
        case 'askShiftToEnd':
          this.shifts.askToEnd();
          break;
        case 'complete':
          return;
        case 'continueAsNew':
          await leaveWhenQuiet(
            () => this.next().do === 'continueAsNew',
            () => this.leave(),
          );
          break;
        case 'wait':
          await this.wait(step.untilMs);
          break;
      }
    }
  }

  private next(): ReturnType<typeof nextPoolStep> {
    return nextPoolStep(this.facts.state, this.moment());
  }

  private leave(): Promise<never> {
    const { tracker, pool: number, state } = this.facts;
    return continueAsNew<typeof pool>({ tracker, pool: number, state: { ...state, runs: state.runs + 1 } });
  }

  private wait(untilMs: number | undefined): Promise<unknown> {
    const { facts } = this;
    const seen = facts.happenings;
    const happened = () => facts.happenings !== seen;
    // A handler finishes slightly after the change it made is visible. If that is all we wait for, no other event would
    // wake this loop.
    const busy = !allHandlersFinished();
    if (untilMs === undefined) return condition(() => happened() || (busy && allHandlersFinished()));
    return condition(happened, Math.max(1, untilMs - Date.now()));
  }

  private moment(): PoolMoment {
    const { facts, applies, shifts } = this;
    return {
      opened: facts.opening !== undefined,
      trackerStopped: facts.stopped,
      applying: applies.applying,
      onShift: facts.onShift,
      shiftAskedToEnd: shifts.isAskedToEnd,
      waitsElsewhere: waitsElsewhere(facts.state, facts.queue, facts.opening),
      handlersBusy: !allHandlersFinished(),
      historyFull: historyFull(facts.opening?.historyEvents ?? Infinity),
      nowMs: Date.now(),
      owedUntilMs: applies.owedUntilMs,
      applyNotBeforeMs: applies.notBeforeMs,
      notBeforeMs: shifts.notBeforeMs,
    };
  }

  private async open(): Promise<void> {
    const { facts } = this;
    const before = this.wakes;
    const found = await openPool({ tracker: facts.tracker, pool: facts.pool });
    facts.state.members = found.members;
    // Woken while it looked: what it saw may be of before the start, so it looks again.
    if (found.state === 'stopped' && this.wakes !== before) return;
    facts.opening = found;
    facts.stopped = found.state === 'stopped';
    facts.describe();
  }
}
