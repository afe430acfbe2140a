/**
 * The workflow that owns one pool of a tracker's members. It takes in adds and removals, has them applied
 * (`activities/tracker/roster`), and keeps a shift running (`activities/tracker/shift`), which does the watching.
 * Started by the first signal (signal-with-start, `client/`), carried on by continue-as-new. What it does next is
 * decided by `nextPoolStep` in `plan.ts`.
 */
import {
  ActivityCancellationType,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { historyFull, throughTheGate } from '../lib/continue-as-new';
import { ErrorType } from '../lib/errors';
import { causeOf, isFailureOf } from '../lib/failed-activity';
import {
  addSignal,
  grownSignal,
  poolStatusQuery,
  removeSignal,
  trackerWorkflowId,
  wakeSignal,
  type PoolInput,
  type PoolOpening,
  type PoolState,
  type PoolStatus,
  type ShiftResult,
  type TrackerActivities,
} from './contract';
import {
  batchOf,
  freshPoolState,
  nextPoolStep,
  oweApply,
  pauseAfter,
  readRoster,
  shiftDuration,
  type PoolMoment,
} from './plan';
import { RETRY } from '../lib/retry';
import { errorMessage } from '../lib/text';

/** Of an error that is carried along and shown; characters. */
const ERROR_LENGTH = 1_000;

/** After a failure that Temporal does not retry. */
const FAILED_PAUSE_MS = 10_000;

/** How long a cancelled pool goes on for what it has accepted. */
const LAST_APPLIES_MS = 60_000;

const { applyRoster: applyLast } = proxyActivities<TrackerActivities>({
  startToCloseTimeout: 30_000,
  scheduleToCloseTimeout: LAST_APPLIES_MS,
  retry: RETRY,
});

/** The greatest `timeout` of an operation, and what its shift needs after it. Milliseconds. */
const LONGEST_RUN_MS = 65 * 60_000;

const { openPool, applyRoster } = proxyActivities<TrackerActivities>({
  startToCloseTimeout: 30_000,
  retry: RETRY,
});

export async function pool(input: PoolInput): Promise<void> {
  const { tracker } = input;
  const state: PoolState = input.state ?? freshPoolState();
  let opening: PoolOpening | undefined;
  let stopped = false;
  let shiftScope: CancellationScope | undefined;
  let onShift = false;
  let applying = false;
  let owedUntilMs = 0;
  let applyNotBeforeMs = 0;
  let notBeforeMs = 0;
  let describedMembers = -1;
  let askedForGrowthAt = 0;
  /** Another run has taken this one's place: nothing here may go on. */
  let replaced: Error | undefined;
  let wakes = 0;
  /** Raised by whatever may change the next step. */
  let happenings = 0;

  // ── Handlers: they only note what was said ──
  setHandler(addSignal, (payload) => {
    state.pending.push(...readRoster(payload, 'add'));
    happenings++;
  });
  setHandler(removeSignal, (payload) => {
    state.pending.push(...readRoster(payload, 'remove'));
    happenings++;
  });
  setHandler(wakeSignal, (message) => {
    if (message?.release && state.quarantined) {
      state.quarantined = false;
      describe();
    }
    // The tracker may have been started again while this pool was about to end.
    wakes++;
    if (stopped) lookAgain();
    happenings++;
  });
  setHandler(poolStatusQuery, () => status());

  try {
    await decideAndCarryOut();
  } catch (error) {
    if (isCancellation(error)) await CancellationScope.nonCancellable(applyBeforeEnd);
    throw error;
  }

  // ── The loop: decide, carry out, wait ──
  async function decideAndCarryOut(): Promise<void> {
    for (;;) {
      if (replaced !== undefined) throw replaced;
      const step = nextPoolStep(state, moment());
      switch (step.do) {
        case 'open':
          await open();
          break;
        case 'apply':
          void apply(step.count);
          break;
        case 'startShift':
          void keepShift();
          break;
        case 'askShiftToEnd':
          shiftScope?.cancel();
          shiftScope = undefined;
          break;
        case 'complete':
          return;
        case 'continueAsNew':
          await throughTheGate(
            () => nextPoolStep(state, moment()).do === 'continueAsNew',
            () => continueAsNew<typeof pool>({ tracker, pool: input.pool, state: { ...state, runs: state.runs + 1 } }),
          );
          break;
        case 'wait': {
          const seen = happenings;
          const happened = () => happenings !== seen;
          // A handler ends a moment after what it raised was seen. Where only that is missing, nothing else may ever
          // come.
          const busy = !allHandlersFinished();
          if (step.untilMs === undefined) await condition(() => happened() || (busy && allHandlersFinished()));
          else await condition(happened, Math.max(1, step.untilMs - Date.now()));
          break;
        }
      }
    }
  }

  function moment(): PoolMoment {
    return {
      opened: opening !== undefined,
      trackerStopped: stopped,
      applying,
      onShift,
      shiftAskedToEnd: onShift && shiftScope === undefined,
      handlersBusy: !allHandlersFinished(),
      historyFull: historyFull(opening?.historyEvents ?? Infinity),
      nowMs: Date.now(),
      owedUntilMs,
      applyNotBeforeMs,
      notBeforeMs,
    };
  }

  async function open(): Promise<void> {
    const before = wakes;
    const found = await openPool({ tracker, pool: input.pool });
    state.members = found.members;
    // Woken while it looked: what it saw may be of before the start, so it looks again.
    if (found.state === 'stopped' && wakes !== before) return;
    opening = found;
    stopped = found.state === 'stopped';
    describe();
  }

  /** Opens anew: only what the database says now ends a pool. */
  function lookAgain(): void {
    stopped = false;
    opening = undefined;
  }

  /** Has the oldest pending changes written, all or none; they stay pending until that has happened. */
  async function apply(count: number): Promise<void> {
    applying = true;
    owedUntilMs = oweApply(owedUntilMs, Date.now());
    try {
      const applied = await applyRoster({ tracker, pool: input.pool, changes: state.pending.slice(0, count) });
      state.pending.splice(0, count);
      const before = state.members;
      state.members = applied.poolMembers;
      if (state.members <= applied.poolSize) askedForGrowthAt = 0;
      // Linear hashing leaves some pools larger than others, so asking again waits for a tenth more.
      if (state.members > applied.poolSize && state.members > askedForGrowthAt * 1.1) await askForGrowth();
      // The numbers shown in the UI follow by a tenth, so that a stream of adds is not a stream of events.
      if (before === 0 || Math.abs(state.members - before) > before / 10) describe();
    } catch (error) {
      // A cancelled workflow applies them before it ends.
      if (isCancellation(error)) return;
      state.lastError = errorText(error);
      applyNotBeforeMs = Date.now() + FAILED_PAUSE_MS;
      log.error('Changes of the roster could not be applied; trying again in 10 s', {
        tracker,
        pool: input.pool,
        error,
      });
    } finally {
      applying = false;
      happenings++;
    }
  }

  /** It was cancelled: what it had accepted is applied all the same, unless PostgreSQL is away for as long as that. */
  async function applyBeforeEnd(): Promise<void> {
    await condition(() => !applying);
    const untilMs = Date.now() + LAST_APPLIES_MS;
    try {
      while (state.pending.length > 0 && Date.now() < untilMs) {
        const count = batchOf(state.pending);
        await applyLast({ tracker, pool: input.pool, changes: state.pending.slice(0, count) });
        state.pending.splice(0, count);
      }
    } catch (error) {
      log.error('A cancelled pool could not apply what it had accepted', { tracker, pool: input.pool, error });
    }
    if (state.pending.length > 0) {
      log.error('Changes of the roster were lost with a cancelled pool; reconcile shows which', {
        tracker,
        pool: input.pool,
        changes: state.pending.length,
      });
    }
  }

  async function askForGrowth(): Promise<void> {
    askedForGrowthAt = state.members;
    try {
      await getExternalWorkflowHandle(trackerWorkflowId(tracker)).signal(grownSignal);
    } catch (error) {
      // A root that is gone comes back by the patrol, and then the next apply asks again.
      askedForGrowthAt = 0;
      log.warn('The tracker was not told to grow', { tracker, pool: input.pool, error });
    }
  }

  /** One shift from its start to its result. Every way it can end leaves a pool that goes on. */
  async function keepShift(): Promise<void> {
    onShift = true;
    state.shift++;
    const scope = new CancellationScope();
    shiftScope = scope;
    try {
      const result = await scope.run(() => runShift());
      state.lastShift = result;
      if (opening && result.options) opening = { ...opening, ...result.options };
      state.members = result.members;
      notBeforeMs = Date.now() + pauseAfter(result.end);
      // Not believed at once: it may have been started again meanwhile, and its wake has come already.
      if (result.end === 'stopped') lookAgain();
      if (result.end === 'quarantined') {
        state.quarantined = true;
        state.lastError = 'crashed three times in a row';
      }
    } catch (error) {
      // A cancelled workflow ends in the loop, where `condition` throws.
      if (!isCancellation(error)) {
        state.lastError = errorText(error);
        if (isFailureOf(error, ErrorType.PoolNotCurrent)) replaced = error as Error;
        notBeforeMs = Date.now() + FAILED_PAUSE_MS;
        log.error('A shift failed for good; the next one follows in 10 s', { tracker, pool: input.pool, error });
      }
    } finally {
      onShift = false;
      shiftScope = undefined;
      describe();
      happenings++;
    }
  }

  function runShift(): Promise<ShiftResult> {
    const { shiftMs, heartbeatTimeoutMs } = opening!;
    const durationMs = shiftDuration(shiftMs, input.pool, state.shift);
    const { shift } = proxyActivities<TrackerActivities>({
      // A shift whose time is up waits for its runs, which may take as long as the longest time-out there is; one that
      // hangs is ended by its heartbeat first.
      startToCloseTimeout: durationMs + 10 * heartbeatTimeoutMs + LONGEST_RUN_MS,
      heartbeatTimeout: heartbeatTimeoutMs,
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary: `shift ${state.shift}: ${state.members} members`,
      retry: RETRY,
    });
    return shift({ tracker, pool: input.pool, shift: state.shift, durationMs });
  }

  function status(): PoolStatus {
    return {
      tracker,
      pool: input.pool,
      state: !opening
        ? 'opening'
        : state.quarantined
          ? 'quarantined'
          : stopped
            ? 'ending'
            : onShift
              ? 'on shift'
              : 'between shifts',
      members: state.members,
      shift: state.shift,
      pendingChanges: state.pending.length,
      lastShift: state.lastShift,
      lastError: state.lastError,
    };
  }

  /** What a person sees of this pool in the Temporal UI. */
  function describe(): void {
    if (describedMembers !== state.members) {
      describedMembers = state.members;
      upsertSearchAttributes({
        LongwatchTracker: [tracker],
        LongwatchPool: [input.pool],
        LongwatchMembers: [state.members],
      });
    }
    const now = status();
    setCurrentDetails(
      `**${tracker}**, pool ${input.pool}: ${state.members} members, ${now.state}, shift ${state.shift}` +
        (state.lastError === undefined ? '' : `\n\nlast error: ${state.lastError}`),
    );
  }
}

function errorText(error: unknown): string {
  return errorMessage(causeOf(error)).slice(0, ERROR_LENGTH);
}
