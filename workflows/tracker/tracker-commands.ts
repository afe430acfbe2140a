/**
 * The commands of an operator to a tracker's root workflow, and its growth: each is carried out after the one before
 * it. The handlers of `tracker.ts` call it; the rows are written by `activities/tracker/roster/commands.ts`.
 */
import { ApplicationFailure, proxyActivities, uuid4 } from '@temporalio/workflow';
import type { CommandResult, ReconfigureResult, RunState } from '../lib/contract';
import { ErrorType } from '../lib/errors';
import { isFailureOf } from '../lib/failed-activity';
import type { OptionChange } from '../lib/options';
import { RETRY } from '../lib/retry';
import { Turns } from '../lib/turns';
import type { CommandMark, TrackerActivities, TrackerOpening } from './contract';
import { changeProblems, labelOf, type TrackerOptions } from './options';
import type { TrackerRun } from './tracker-run';
import { TRACKER_TUNABLES } from './tunables';

const { setTrackerState, declareOptions, setOptions, splitPools, wakePools } = proxyActivities<TrackerActivities>({
  startToCloseTimeout: TRACKER_TUNABLES.commandMs,
  heartbeatTimeout: TRACKER_TUNABLES.commandHeartbeatMs,
  retry: RETRY,
});

export class TrackerCommands {
  private readonly turns: Turns<TrackerOpening>;

  constructor(private readonly run: TrackerRun) {
    this.turns = new Turns(() => run.opened);
  }

  pause(): Promise<CommandResult> {
    return this.turns.take((opened) => this.changeState(opened, 'paused'));
  }

  resume(): Promise<CommandResult> {
    return this.turns.take(async (opened) => {
      const result = await this.changeState(opened, 'running');
      // Also the way out of quarantine, so it wakes the pools even when the tracker was running.
      await wakePools({ tracker: this.run.name, from: 0, release: true });
      return result;
    });
  }

  stop(): Promise<CommandResult> {
    return this.turns.take(async (opened) => {
      const result = await this.changeState(opened, 'stopped');
      // A pool in quarantine has no shift that would tell it.
      await wakePools({ tracker: this.run.name, from: 0, release: true, quarantinedOnly: true });
      return result;
    });
  }

  declare(options: TrackerOptions): Promise<ReconfigureResult> {
    const tracker = this.run.name;
    return this.changeOptions((mark) => declareOptions({ tracker, options, mark }));
  }

  /** @param expects the version of the row, where nobody else may have changed it since */
  reconfigure(changes: OptionChange[], expects?: number): Promise<ReconfigureResult> {
    const tracker = this.run.name;
    return this.changeOptions((mark) => setOptions({ tracker, changes, expects, mark }));
  }

  /** Before a change is let into the history. @throws BadOption */
  refuseBad(changes: OptionChange[]): void {
    const { opened } = this.run;
    const problems = opened ? changes.flatMap((change) => changeProblems(opened.options, change)) : [];
    if (problems.length > 0) throw ApplicationFailure.nonRetryable(problems.join('; '), ErrorType.BadOption);
  }

  /**
   * Splits pools until no pool is too large, and wakes the new ones.
   * @param members how many there will be; undefined: as many as there are
   */
  grow(members?: number): Promise<{ pools: number }> {
    return this.turns.take(async (opened) => {
      const before = opened.pools;
      const grown = await splitPools({ tracker: this.run.name, members });
      opened.pools = grown.pools;
      opened.members = grown.members;
      if (grown.pools > before) await wakePools({ tracker: this.run.name, from: before });
      this.run.describe(opened);
      return { pools: grown.pools };
    });
  }

  private changeOptions(write: (mark: CommandMark) => Promise<ReconfigureResult>): Promise<ReconfigureResult> {
    return this.turns.take(async (opened) => {
      const label = labelOf(opened.options);
      const result = await this.markedAfterTheLast(opened, write);
      await this.run.reload(opened);
      // Pools that wait for a node of the old label look again; those that are kept are given away by their nodes.
      if (labelOf(opened.options) !== label) await wakePools({ tracker: this.run.name, from: 0 });
      return result;
    });
  }

  private async changeState(opened: TrackerOpening, state: RunState): Promise<CommandResult> {
    const tracker = this.run.name;
    const result = await this.markedAfterTheLast(opened, (mark) => {
      if (opened.state === 'stopped' && state !== 'stopped') {
        throw ApplicationFailure.nonRetryable(
          `tracker ${tracker} is stopped; start it again`,
          ErrorType.TrackerStopped,
        );
      }
      return setTrackerState({ tracker, state, mark });
    });
    opened.state = result.state;
    this.run.describe(opened);
    return result;
  }

  /**
   * A command after the last one that is known here. If there was another (this run was reset, say), the tracker is
   * taken and read anew, once.
   */
  private async markedAfterTheLast<R extends { changed: boolean }>(
    opened: TrackerOpening,
    carryOut: (mark: CommandMark) => Promise<R>,
  ): Promise<R> {
    for (let again = false; ; again = true) {
      const mark = { after: opened.command ?? null, is: uuid4() };
      try {
        const result = await carryOut(mark);
        if (result.changed) opened.command = mark.is;
        return result;
      } catch (error) {
        if (again || !isFailureOf(error, ErrorType.Superseded)) throw error;
        await this.run.takeBack(opened);
      }
    }
  }
}
