/**
 * The workflow of one job, for as long as it is not stopped: waits for the next tick, has a pass work on it
 * (`activities/job`), and carries out what an operator says. Ticks never overlap, since it waits for each. What it does
 * next is decided by `nextJobStep` in `plan.ts`. Started by `client/job/handle.ts`, carried on by continue-as-new.
 */
import {
  ActivityCancellationType,
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  log,
  proxyActivities,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import { historyFull, throughTheGate } from '../lib/continue-as-new';
import { ErrorType } from '../lib/errors';
import {
  declareJobUpdate,
  jobStatusQuery,
  pauseJobUpdate,
  reconfigureJobUpdate,
  resumeJobUpdate,
  runJobUpdate,
  stopJobUpdate,
  type JobInput,
  type JobOpening,
  type JobState,
  type JobStatus,
  type JobWorkflowState,
  type PassResult,
  type PopulationActivities,
  type TickOrder,
} from './contract';
import { jobChangeProblems } from './options';
import { freshJobState, nextJobStep, nextTick, type JobMoment, type Known } from './plan';
import type { OptionChange } from '../lib/options';
import type { CommandResult } from '../lib/contract';
import { RETRY } from '../lib/retry';
import { causeOf } from '../lib/failed-activity';
import { errorMessage } from '../lib/text';

/** After a pass that failed for good, or that a newer holder has taken over. */
const FAILED_PAUSE_MS = 10_000;
const FENCED_PAUSE_MS = 1_000;
/** Pause and stop answer when the pass they end has ended, or after this: one long statement may take its time. */
const END_PATIENCE_MS = 5_000;
/** Looked at again then; a job may wait for longer than a timer can. */
const LONGEST_TIMER_MS = 30 * 24 * 60 * 60_000;
/** Before the first look. */
const UNKNOWN: Known = { calendar: [] };
/** A pass may take long; a worker that dies is noticed by its heartbeat. */
const PASS_MS = 7 * 24 * 60 * 60_000;

const { openJob, setJobState, declareJob, setJobOptions } = proxyActivities<PopulationActivities>({
  startToCloseTimeout: 60_000,
  retry: RETRY,
});

export async function job(input: JobInput): Promise<void> {
  const name = input.job;
  const state: JobWorkflowState = input.state ?? freshJobState(Date.now());
  let now: JobOpening | undefined;
  let passScope: CancellationScope | undefined;
  let working: TickOrder | undefined;
  let notBefore = 0;
  let replaced: Error | undefined;
  /** Raised by whatever may change the next step. */
  let happenings = 0;
  /** Commands are carried out one after the other. */
  let line: Promise<unknown> = Promise.resolve();

  const inLine = <T>(command: (current: JobOpening) => Promise<T>): Promise<T> => {
    const turn = line.then(async () => {
      await condition(() => now !== undefined);
      return command(now!);
    });
    line = turn.catch(() => undefined);
    return turn;
  };

  // ── Handlers ──
  setHandler(pauseJobUpdate, () => inLine((current) => changeState(current, 'paused')));
  setHandler(resumeJobUpdate, () =>
    inLine(async (current) => {
      if (current.state !== 'paused') return changeState(current, 'running');
      // What fell due meanwhile was not wanted: a pause is no downtime, also for a workflow that knows nothing of it.
      state.settled = Math.max(state.settled, Date.now());
      return changeState(current, 'running', state.settled);
    }),
  );
  setHandler(stopJobUpdate, () => inLine((current) => changeState(current, 'stopped')));
  setHandler(runJobUpdate, async ({ request }) => {
    state.request ??= request;
    happenings++;
    return { request: state.request };
  });
  setHandler(declareJobUpdate, (options) =>
    inLine(async () => {
      const result = await declareJob({ job: name, options });
      await look();
      return result;
    }),
  );
  setHandler(
    reconfigureJobUpdate,
    (changes) =>
      inLine(async () => {
        const result = await setJobOptions({ job: name, changes });
        await look();
        return result;
      }),
    {
      validator: (changes: OptionChange[]) => {
        const problems = now ? changes.flatMap((change) => jobChangeProblems(now!.options, change)) : [];
        if (problems.length > 0) throw ApplicationFailure.nonRetryable(problems.join('; '), ErrorType.BadOption);
      },
    },
  );
  setHandler(jobStatusQuery, () => status());

  // ── The loop: decide, carry out, wait ──
  for (;;) {
    if (replaced !== undefined) throw replaced;
    const step = nextJobStep(state, moment(), now?.options, now ?? UNKNOWN);
    switch (step.do) {
      case 'open':
        await open();
        break;
      case 'look':
        await look();
        break;
      case 'skip':
        log.info('Ticks are skipped', { job: name, skipped: step.skipped });
        state.settled = step.settles;
        break;
      case 'pass':
        void work(step.order, step.settles);
        break;
      case 'askPassToEnd':
        passScope?.cancel();
        passScope = undefined;
        break;
      case 'complete':
        await condition(allHandlersFinished);
        return;
      case 'continueAsNew':
        await throughTheGate(
          () => nextJobStep(state, moment(), now?.options, now ?? UNKNOWN).do === 'continueAsNew',
          () => continueAsNew<typeof job>({ job: name, state: { ...state, runs: state.runs + 1 } }),
        );
        break;
      case 'wait': {
        const seen = happenings;
        const happened = () => happenings !== seen;
        if (step.until === undefined) await condition(happened);
        else await condition(happened, Math.min(Math.max(1, step.until - Date.now()), LONGEST_TIMER_MS));
        break;
      }
    }
  }

  function moment(): JobMoment {
    return {
      now: Date.now(),
      opened: now !== undefined,
      paused: now?.state === 'paused',
      stopped: now?.state === 'stopped',
      working: working !== undefined,
      askedToEnd: working !== undefined && passScope === undefined,
      notBefore,
      historyFull: historyFull(now?.options.historyEvents ?? Infinity),
    };
  }

  /** The first look of a run; what was open in the database is gone on with, whoever began it. */
  async function open(): Promise<void> {
    // Brought back by a patrol: what fell due since the last tick was missed. A start begins anew.
    const broughtBack = !input.state && !input.options;
    const after = broughtBack ? undefined : state.settled;
    const found = await openJob({ job: name, options: input.options, after });
    const settled = found.settled ?? found.endedDue;
    if (settled !== undefined) state.settled = broughtBack ? settled : Math.max(state.settled, settled);
    state.open ??= found.open;
    now = found;
    describe();
  }

  async function look(): Promise<void> {
    now = await openJob({ job: name, after: state.settled });
    happenings++;
    describe();
  }

  async function changeState(current: JobOpening, wanted: JobState, settled?: number): Promise<CommandResult> {
    if (current.state === 'stopped' && wanted !== 'stopped') {
      throw ApplicationFailure.nonRetryable(`job ${name} is stopped; start it again`, ErrorType.JobStopped);
    }
    const result = await setJobState({ job: name, state: wanted, settled });
    current.state = result.state;
    happenings++;
    describe();
    if (wanted !== 'running') await condition(() => !isUnwanted(), END_PATIENCE_MS);
    return result;
  }

  /** Whether a pass works that what was said last does not want. */
  function isUnwanted(): boolean {
    return working !== undefined && (now?.state === 'stopped' || working.request === undefined);
  }

  /** One pass from its start to its result. A tick stays open until a pass says that it is done. */
  async function work(order: TickOrder, settles: number): Promise<void> {
    const scope = new CancellationScope();
    passScope = scope;
    working = order;
    state.open = order;
    state.settled = settles;
    state.pass++;
    if (order.request !== undefined && order.request === state.request) state.request = undefined;
    if (order.elapsed === 0) state.retryAt = undefined;
    try {
      ended(await scope.run(() => runPass(order)));
    } catch (error) {
      if (!isCancellation(error)) failed(error);
    } finally {
      working = undefined;
      passScope = undefined;
      describe();
      happenings++;
    }
  }

  function runPass(tick: TickOrder): Promise<PassResult> {
    const { pass } = proxyActivities<PopulationActivities>({
      startToCloseTimeout: PASS_MS,
      heartbeatTimeout: now!.options.heartbeatTimeoutMs,
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary: `tick ${new Date(tick.due).toISOString()}${tick.elapsed > 1 ? `, for ${tick.elapsed} intervals` : ''}`,
      retry: RETRY,
    });
    return pass({ job: name, pass: state.pass, tick });
  }

  function ended(result: PassResult): void {
    if (result.end === 'fenced') {
      notBefore = Date.now() + FENCED_PAUSE_MS;
      return;
    }
    if (result.end === 'stopped') {
      // Known here before the answer of what has stopped it; nothing was begun, so nothing is left open.
      now!.state = 'stopped';
      state.open = undefined;
      return;
    }
    if (result.end !== 'done') return;
    // Another tick was open in the database, and has been finished: the one that was asked for is still to come.
    if (state.open !== undefined && result.due >= state.open.due) state.open = undefined;
    state.last = result;
    state.lastError = result.error;
    state.retryAt = result.retryAt;
  }

  function failed(error: unknown): void {
    const cause = causeOf(error);
    state.lastError = errorMessage(cause);
    if (cause instanceof ApplicationFailure && cause.type === ErrorType.JobNotCurrent) replaced = error as Error;
    notBefore = Date.now() + FAILED_PAUSE_MS;
    log.error('A pass failed for good; the next one follows in 10 s', { job: name, error });
  }

  function status(): JobStatus {
    if (!now) throw new Error(`job ${name} is opening`);
    const next = nextTick(now.options, now, state.settled, Date.now());
    return {
      job: name,
      kind: now.options.kind,
      state: now.state,
      working: working?.due,
      next: now.state !== 'running' ? undefined : next.do === 'wait' ? next.until : Date.now(),
      last: state.last,
      lastError: state.lastError,
    };
  }

  /** What a person sees of this job in the Temporal UI. */
  function describe(): void {
    if (!now) return;
    const { last } = state;
    setCurrentDetails(
      `**${name}** (${now.options.kind}): ${now.state}` +
        (last ? `\n\nlast tick: ${last.rows} rows in ${Math.round(last.ms)} ms, ${last.band ?? last.end}` : '') +
        (state.lastError === undefined ? '' : `\n\nlast error: ${state.lastError}`),
    );
  }
}
