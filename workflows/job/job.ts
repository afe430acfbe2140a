/**
 * The workflow of one job, for as long as it is not stopped: waits for the next tick, has a pass work on it
 * (`activities/job`), and carries out what an operator says. Ticks never overlap, since it waits for each. Its next
 * step is decided by `nextJobStep` in `plan.ts`; its parts are what they share (`run.ts`), the passes (`passes.ts`) and
 * the commands (`commands.ts`). Started by `client/job/handle.ts`, carried on by continue-as-new.
 */
import { allHandlersFinished, condition, continueAsNew, log, setHandler } from '@temporalio/workflow';
import { historyFull, leaveWhenQuiet } from '../lib/continue-as-new';
import type { OptionChange } from '../lib/options';
import { Commands } from './commands';
import {
  declareJobUpdate,
  jobStatusQuery,
  pauseJobUpdate,
  reconfigureJobUpdate,
  resumeJobUpdate,
  runJobUpdate,
  stopJobUpdate,
  type JobInput,
  type JobStatus,
} from './contract';
import { Passes } from './passes';
import { nextJobStep, nextTick, type JobMoment, type JobStep, type Known } from './plan';
import { JobRun } from './run';
import { JOB_TUNABLES } from './tunables';

/** Before the first look. */
const UNKNOWN: Known = { calendar: [] };

export async function job(input: JobInput): Promise<void> {
  const run = new JobRun(input);
  const passes = new Passes(run);
  const commands = new Commands(run, passes);

  setHandler(pauseJobUpdate, () => commands.pause());
  setHandler(resumeJobUpdate, () => commands.resume());
  setHandler(stopJobUpdate, () => commands.stop());
  setHandler(runJobUpdate, async ({ request }) => commands.runNow(request));
  setHandler(declareJobUpdate, (options) => commands.declare(options));
  setHandler(reconfigureJobUpdate, (changes, expects) => commands.reconfigure(changes, expects), {
    validator: (...[changes]: [OptionChange[], number?]) => commands.refuseBad(changes),
  });
  setHandler(jobStatusQuery, () => statusOf(run, passes));

  // Decide, carry out, wait.
  for (;;) {
    if (passes.replaced !== undefined) throw passes.replaced;
    const step = nextStep(run, passes);
    switch (step.do) {
      case 'open':
        await run.open();
        break;
      case 'look':
        await run.look();
        break;
      case 'skip':
        log.info('Ticks are skipped', { job: run.name, skipped: step.skipped });
        run.state.settled = step.settles;
        break;
      case 'pass':
        void passes.begin(step.tick, step.settles);
        break;
      case 'askPassToEnd':
        passes.askToEnd();
        break;
      case 'complete':
        await condition(allHandlersFinished);
        return;
      case 'continueAsNew':
        await leaveWhenQuiet(
          () => nextStep(run, passes).do === 'continueAsNew',
          () => continueAsNew<typeof job>({ job: run.name, state: { ...run.state, runs: run.state.runs + 1 } }),
        );
        break;
      case 'wait':
        await nextHappening(run, step.until);
        break;
    }
  }
}

function nextStep(run: JobRun, passes: Passes): JobStep {
  const { state, opened } = run;
  const moment: JobMoment = {
    nowMs: Date.now(),
    opened: opened !== undefined,
    paused: opened?.state === 'paused',
    stopped: opened?.state === 'stopped',
    working: passes.working !== undefined,
    askedToEnd: passes.askedToEnd,
    notBeforeMs: passes.notBeforeMs,
    historyFull: historyFull(opened?.options.historyEvents ?? Infinity),
  };
  return nextJobStep(state, moment, opened?.options, opened ?? UNKNOWN);
}

/** @param until epoch milliseconds; undefined: only what happens ends the wait */
async function nextHappening(run: JobRun, until: number | undefined): Promise<void> {
  const seen = run.happenings;
  const happened = (): boolean => run.happenings !== seen;
  if (until === undefined) await condition(happened);
  else await condition(happened, Math.min(Math.max(1, until - Date.now()), JOB_TUNABLES.longestTimerMs));
}

function statusOf({ name, state, opened }: JobRun, passes: Passes): JobStatus {
  if (!opened) throw new Error(`job ${name} is opening`);
  const next = nextTick(opened.options, opened, state.settled, Date.now());
  return {
    job: name,
    kind: opened.options.kind,
    state: opened.state,
    working: passes.working?.due,
    next: opened.state !== 'running' ? undefined : next.do === 'wait' ? next.until : Date.now(),
    last: state.last,
    lastError: state.lastError,
  };
}
