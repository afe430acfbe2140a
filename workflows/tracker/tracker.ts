/**
 * The root workflow of a tracker: the one place that changes its state, options and layout. An operator's word
 * arrives as an update, is written by an activity (`activities/tracker/roster/commands.ts`) and reaches every running
 * shift through its row; the pools themselves are workflows of their own (`pool.ts`). Ends when the tracker is stopped.
 */
import {
  allHandlersFinished,
  ApplicationFailure,
  condition,
  continueAsNew,
  log,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  uuid4,
} from '@temporalio/workflow';
import { historyFull, leaveWhenQuiet } from '../lib/continue-as-new';
import { ErrorType } from '../lib/errors';
import { isFailureOf } from '../lib/failed-activity';
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
  type CommandMark,
  type TrackerActivities,
  type TrackerInput,
  type TrackerOpening,
} from './contract';
import { changeProblems } from './options';
import type { OptionChange } from '../lib/options';
import type { CommandResult, RunState } from '../lib/contract';

const { openTracker, setTrackerState, declareOptions, setOptions, splitPools, wakePools } =
  proxyActivities<TrackerActivities>({
    startToCloseTimeout: 120_000,
    heartbeatTimeout: 30_000,
    retry: RETRY,
  });

export async function tracker(input: TrackerInput): Promise<void> {
  const name = input.tracker;
  let opened: TrackerOpening | undefined;
  let outgrown = false;
  /** Commands are carried out one after the other: each waits for the one before it. */
  let line: Promise<unknown> = Promise.resolve();

  const inLine = <T>(command: (current: TrackerOpening) => Promise<T>): Promise<T> => {
    const turn = line.then(async () => {
      await condition(() => opened !== undefined);
      return command(opened!);
    });
    line = turn.catch(() => undefined);
    return turn;
  };

  // ── Handlers ──
  setHandler(pauseUpdate, () => inLine((current) => changeState(current, 'paused')));
  setHandler(resumeUpdate, () =>
    inLine(async (current) => {
      const result = await changeState(current, 'running');
      // Also the way out of quarantine, so it wakes the pools even when the tracker was running.
      await wakePools({ tracker: name, from: 0, release: true });
      return result;
    }),
  );
  setHandler(stopUpdate, () =>
    inLine(async (current) => {
      const result = await changeState(current, 'stopped');
      // A pool in quarantine has no shift that would tell it.
      await wakePools({ tracker: name, from: 0, release: true, quarantinedOnly: true });
      return result;
    }),
  );
  setHandler(declareUpdate, (options) =>
    inLine(async (current) => {
      const result = await commanded(current, (mark) => declareOptions({ tracker: name, options, mark }));
      await reload(current);
      return result;
    }),
  );
  setHandler(
    reconfigureUpdate,
    (changes) =>
      inLine(async (current) => {
        const result = await commanded(current, (mark) => setOptions({ tracker: name, changes, mark }));
        await reload(current);
        return result;
      }),
    {
      validator: (changes: OptionChange[]) => {
        const problems = opened ? changes.flatMap((change) => changeProblems(opened!.options, change)) : [];
        if (problems.length > 0) throw ApplicationFailure.nonRetryable(problems.join('; '), ErrorType.BadOption);
      },
    },
  );
  setHandler(ensureCapacityUpdate, ({ members }) => inLine((current) => grow(current, members)));
  setHandler(grownSignal, () => {
    outgrown = true;
  });
  setHandler(trackerStatusQuery, () => {
    if (!opened) throw new Error(`tracker ${name} is opening`);
    const { state, pools, members, options } = opened;
    return { tracker: name, state, pools, members, options };
  });

  // ── Open, then wait for what is asked ──
  const root = await open();
  if ((input.runs ?? 0) === 0) await wakePools({ tracker: name, from: 0 });

  for (;;) {
    const leaving = () => historyFull(root.options.historyEvents);
    await condition(() => root.state === 'stopped' || outgrown || leaving());
    if (root.state === 'stopped') {
      await condition(allHandlersFinished);
      return;
    }
    if (outgrown) {
      outgrown = false;
      try {
        await inLine((current) => grow(current));
      } catch (error) {
        log.error('The tracker could not grow; the next roster change asks again', { tracker: name, error });
      }
    } else {
      await leaveWhenQuiet(
        () => !outgrown && root.state !== 'stopped',
        () => continueAsNew<typeof tracker>({ tracker: name, runs: (input.runs ?? 0) + 1 }),
      );
    }
  }

  async function open(): Promise<TrackerOpening> {
    opened = await openTracker({ tracker: name, options: input.options, command: uuid4() });
    describe(opened);
    return opened;
  }

  async function changeState(current: TrackerOpening, state: RunState): Promise<CommandResult> {
    const result = await commanded(current, (mark) => {
      if (current.state === 'stopped' && state !== 'stopped') {
        throw ApplicationFailure.nonRetryable(`tracker ${name} is stopped; start it again`, ErrorType.TrackerStopped);
      }
      return setTrackerState({ tracker: name, state, mark });
    });
    current.state = result.state;
    describe(current);
    return result;
  }

  /**
   * A command after the last one that is known here. If there was another (this run was reset, say), the tracker is
   * taken and read anew, once.
   */
  async function commanded<R extends { changed: boolean }>(
    current: TrackerOpening,
    carryOut: (mark: CommandMark) => Promise<R>,
  ): Promise<R> {
    for (let again = false; ; again = true) {
      const mark = { after: current.command ?? null, is: uuid4() };
      try {
        const result = await carryOut(mark);
        if (result.changed) current.command = mark.is;
        return result;
      } catch (error) {
        if (again || !isFailureOf(error, ErrorType.Superseded)) throw error;
        Object.assign(current, await openTracker({ tracker: name, command: uuid4() }));
      }
    }
  }

  async function reload(current: TrackerOpening): Promise<void> {
    Object.assign(current, await openTracker({ tracker: name }));
    describe(current);
  }

  async function grow(current: TrackerOpening, members?: number): Promise<{ pools: number }> {
    const before = current.pools;
    const grown = await splitPools({ tracker: name, members });
    current.pools = grown.pools;
    current.members = grown.members;
    if (grown.pools > before) await wakePools({ tracker: name, from: before });
    describe(current);
    return { pools: grown.pools };
  }

  /** Shows the tracker in the Temporal UI. */
  function describe(current: TrackerOpening): void {
    upsertSearchAttributes({ LongwatchTracker: [name], LongwatchMembers: [current.members] });
    const operations = Object.entries(current.options.operations)
      .map(([operation, { everyMs, enabled }]) => `${operation} ${enabled ? `every ${everyMs / 1000} s` : 'off'}`)
      .join(', ');
    setCurrentDetails(`**${name}**: ${current.state}, ${current.pools} pools\n\n${operations}`);
  }
}
