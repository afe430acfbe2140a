/**
 * The root workflow of a tracker: the one place that changes its state, options and layout. An operator's word
 * arrives as an update (`tracker-commands.ts`), is written by an activity (`activities/tracker/roster/commands.ts`) and
 * reaches every running shift through the tracker's row (`tracker-run.ts`); the pools themselves are workflows of their
 * own (`pool.ts`). Started by the client; ends when the tracker is stopped.
 */
import { allHandlersFinished, condition, continueAsNew, log, proxyActivities, setHandler } from '@temporalio/workflow';
import { historyFull, leaveWhenQuiet } from '../lib/continue-as-new';
import { RETRY } from '../lib/retry';
import {
  declareUpdate,
  ensureCapacityUpdate,
  grownSignal,
  pauseUpdate,
  reconfigureUpdate,
  resumeUpdate,
  stopUpdate,
  trackerStatusQuery,
  type TrackerActivities,
  type TrackerInput,
  type TrackerOpening,
} from './contract';
import type { OptionChange } from '../lib/options';
import { TrackerCommands } from './tracker-commands';
import { TrackerRun } from './tracker-run';
import { TRACKER_TUNABLES } from './tunables';

const { wakePools } = proxyActivities<TrackerActivities>({
  startToCloseTimeout: TRACKER_TUNABLES.commandMs,
  heartbeatTimeout: TRACKER_TUNABLES.commandHeartbeatMs,
  retry: RETRY,
});

export async function tracker(input: TrackerInput): Promise<void> {
  const workflow = new TrackerWorkflow(input);
  workflow.listen();
  await workflow.decideAndCarryOut();
}

class TrackerWorkflow {
  private readonly run: TrackerRun;
  private readonly commands: TrackerCommands;

  constructor(input: TrackerInput) {
    this.run = new TrackerRun(input);
    this.commands = new TrackerCommands(this.run);
  }

  /** Sets the handlers. Commands wait until the tracker is open, and for one another. */
  listen(): void {
    const { run, commands } = this;
    setHandler(pauseUpdate, () => commands.pause());
    setHandler(resumeUpdate, () => commands.resume());
    setHandler(stopUpdate, () => commands.stop());
    setHandler(declareUpdate, (options) => commands.declare(options));
    setHandler(reconfigureUpdate, (changes, expects) => commands.reconfigure(changes, expects), {
      validator: (...[changes]: [OptionChange[], number?]) => commands.refuseBad(changes),
    });
    setHandler(ensureCapacityUpdate, ({ members }) => commands.grow(members));
    setHandler(grownSignal, () => {
      run.outgrown = true;
    });
    setHandler(trackerStatusQuery, () => run.status());
  }

  /** Opens, then the loop: wait, decide, carry out. */
  async decideAndCarryOut(): Promise<void> {
    const { run } = this;
    const opened = await run.open();
    if (run.runsBefore === 0) await wakePools({ tracker: run.name, from: 0 });
    for (;;) {
      await condition(() => this.next(opened) !== 'wait');
      switch (this.next(opened)) {
        case 'complete':
          await condition(allHandlersFinished);
          return;
        case 'grow':
          await this.grow();
          break;
        case 'continueAsNew':
          await leaveWhenQuiet(
            () => this.next(opened) === 'continueAsNew',
            () => this.leave(),
          );
          break;
      }
    }
  }

  private next(opened: TrackerOpening): 'complete' | 'grow' | 'continueAsNew' | 'wait' {
    if (opened.state === 'stopped') return 'complete';
    if (this.run.outgrown) return 'grow';
    return historyFull(opened.options.historyEvents) ? 'continueAsNew' : 'wait';
  }

  private async grow(): Promise<void> {
    const { run, commands } = this;
    run.outgrown = false;
    try {
      await commands.grow();
    } catch (error) {
      log.error('The tracker could not grow; the next roster change asks again', { tracker: run.name, error });
    }
  }

  private leave(): Promise<never> {
    const { name, runsBefore } = this.run;
    return continueAsNew<typeof tracker>({ tracker: name, runs: runsBefore + 1 });
  }
}
