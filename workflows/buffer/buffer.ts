/**
 * The parent of a buffer: its options and state, its shards, and its `init`. An operator's word arrives as an update,
 * is written by an activity and handed to the shards (`shards.ts`) as a signal; senders talk to the shards themselves.
 * Started by the client; a patrol starts it again where it is missing. Ends when the buffer is stopped.
 */
import {
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
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { historyFull, leaveWhenQuiet } from '../lib/continue-as-new';
import { ErrorType } from '../lib/errors';
import {
  bufferStatusQuery,
  declareBufferUpdate,
  flushBufferUpdate,
  flushSignal,
  settingsSignal,
  pauseBufferUpdate,
  reconfigureBufferUpdate,
  resumeBufferUpdate,
  roomSignal,
  stopBufferUpdate,
  wakeBufferSignal,
  type BufferCommandResult,
  type BufferRunState,
} from './contract';
import type { BufferActivities, BufferOpening } from './activities';
import type { BufferInput, BufferState } from './state';
import {
  beginPass,
  freshBufferState,
  initProgress,
  nextInitStep,
  pageLimit,
  pageRead,
  roomTold,
  shardsOf,
  type InitStep,
} from './init';
import { bufferChangeProblems, type BufferOptions } from './options';
import { settingsOf, Shards } from './shards';
import type { OptionChange } from '../lib/options';
import { RETRY } from '../lib/retry';

/** Before what did not get through is tried again. Milliseconds. */
const PAUSE_MS = 10_000;

const { openBuffer, setBufferState, declareBuffer, setBufferOptions } = proxyActivities<BufferActivities>({
  startToCloseTimeout: 30_000,
  retry: RETRY,
});
/** A page that fails is read again, from its cursor, after a while. */
const { readInitPage } = proxyActivities<BufferActivities>({
  startToCloseTimeout: 10 * 60_000,
  heartbeatTimeout: 30_000,
  retry: { ...RETRY, maximumInterval: 30_000 },
});

export async function buffer(input: BufferInput): Promise<void> {
  const name = input.buffer;
  const state: BufferState = input.state ?? freshBufferState();
  /** The buffer's row, once it is read. */
  let opened: BufferOpening | undefined;
  let woken = false;
  let reading: CancellationScope | undefined;
  /** Pages go on from here, not before. */
  let pollAtMs: number | undefined;
  let happenings = 0;
  /** Commands are carried out one after the other. */
  let line: Promise<unknown> = Promise.resolve();

  const shards = new Shards(name, state, () => opened);

  const inLine = <T>(command: (current: BufferOpening) => Promise<T>): Promise<T> => {
    const turn = line.then(async () => {
      await condition(() => opened !== undefined);
      if (opened!.state === 'stopped') {
        throw ApplicationFailure.nonRetryable(`buffer ${name} is stopped; start it again`, ErrorType.BufferStopped);
      }
      return command(opened!);
    });
    // The loop looks whether it has come to the end of its history, whatever was said.
    line = turn.catch(() => undefined).then(() => happenings++);
    return turn;
  };

  // ── Handlers ──
  setHandler(pauseBufferUpdate, () => inLine((current) => changeState(current, 'paused')));
  setHandler(resumeBufferUpdate, () => inLine((current) => changeState(current, 'running', { lift: true })));
  setHandler(stopBufferUpdate, () => inLine((current) => changeState(current, 'stopped')));
  setHandler(flushBufferUpdate, () =>
    inLine(async () => {
      await shards.tell(flushSignal, []);
      return { shards: state.shards };
    }),
  );
  setHandler(declareBufferUpdate, (options: BufferOptions) =>
    inLine(async (current) => {
      const result = await declareBuffer({ buffer: name, options });
      return reconfigured(current, result, options);
    }),
  );
  setHandler(
    reconfigureBufferUpdate,
    (changes) =>
      inLine(async (current) => {
        const result = await setBufferOptions({ buffer: name, changes });
        return reconfigured(current, result, current.options);
      }),
    {
      validator: (changes: OptionChange[]) => {
        const problems = opened ? changes.flatMap((change) => bufferChangeProblems(opened!.options, change)) : [];
        if (problems.length > 0) throw ApplicationFailure.nonRetryable(problems.join('; '), ErrorType.BadOption);
      },
    },
  );
  setHandler(wakeBufferSignal, () => {
    woken = true;
    happenings++;
  });
  setHandler(roomSignal, (room) => {
    roomTold(state, room);
    if (room.waiting > 0) pollAtMs = undefined;
    happenings++;
  });
  setHandler(bufferStatusQuery, () => {
    if (!opened) throw ApplicationFailure.nonRetryable(`buffer ${name} is opening`, ErrorType.UnknownBuffer);
    const { options, version } = opened;
    const init = initProgress(state, options, opened.state !== 'running');
    return { buffer: name, state: opened.state, shards: state.shards, options, version, init };
  });

  // ── Open, then read pages and wait for what is asked ──
  const current = (opened = await openBuffer({ buffer: name, options: input.options, shards: state.shards }));
  const isStopped = (): boolean => current.state === 'stopped';
  const isFirstRun = input.state === undefined;
  const ready = openShards(current);
  if (isFirstRun && !isStopped()) {
    const { lastPage } = current;
    // A page that a parent that was lost has read may not have reached its shards; those that have it ignore it.
    if (lastPage) Object.assign(state.init, lastPage);
    // Read while the shards start.
    if (lastPage || nextStep() === 'read') void readPage();
  }
  await ready;
  describe(current);

  for (;;) {
    // Before anything that waits: what comes meanwhile is looked at too.
    const seen = happenings;
    if (mayEnd()) return;
    if (woken) {
      woken = false;
      await shards.start(current);
      // One that goes on from before it was ended by force may have missed some.
      await shards.tell(settingsSignal, [settingsOf(current)]);
    }
    const step = nextStep();
    if (step === 'read' && !reading && !leaving()) void readPage();
    if (mayLeave()) {
      await leaveWhenQuiet(mayLeave, () =>
        continueAsNew<typeof buffer>({ buffer: name, state: { ...state, runs: state.runs + 1 } }),
      );
    }
    if (pollIsDue(step)) {
      pollAtMs = undefined;
      beginPass(state);
      continue;
    }
    // A handler ends a moment after what it raised was seen, and that may be all that is missing.
    const happened = () => happenings !== seen || mayEnd() || mayLeave();
    if (pollAtMs === undefined) await condition(happened);
    else await condition(happened, Math.max(1, pollAtMs - Date.now()));
  }

  function nextStep(): InitStep {
    return nextInitStep(state, current.options, current.state !== 'running');
  }

  function leaving(): boolean {
    return historyFull(current.options.historyEvents);
  }

  function mayEnd(): boolean {
    return isStopped() && !reading && allHandlersFinished();
  }

  function mayLeave(): boolean {
    return leaving() && !reading && !woken && allHandlersFinished();
  }

  /** Sets the clock of the next pass when there is something to wait for, and says when it has come. */
  function pollIsDue(step: InitStep): boolean {
    if (typeof step === 'string') {
      pollAtMs = undefined;
      return false;
    }
    pollAtMs ??= Date.now() + step.pollInMs;
    return Date.now() >= pollAtMs;
  }

  /** One page, from `init` to the shards: the next one is read from after it. */
  async function readPage(): Promise<void> {
    const { options } = current;
    const scope = (reading = new CancellationScope());
    const { pass, page, cursor } = state.init;
    const seqs = Array.from({ length: state.shards }, (_, i) => (state.seqs[i] ?? 0) + 1);
    await scope
      .run(async () => {
        try {
          pageRead(
            state,
            await readInitPage({
              buffer: name,
              pass,
              page,
              cursor,
              shards: shardsOf(options),
              seqs,
              limit: pageLimit(options),
            }),
          );
        } catch (error) {
          if (isCancellation(error)) throw error;
          log.error('A page of init could not be read; trying again in 10 s', { buffer: name, error });
          await sleep(PAUSE_MS);
        }
      })
      // The buffer is stopped: the page is read, or sent again, by the next start.
      .catch(() => undefined);
    reading = undefined;
    happenings++;
  }

  /** Starts the shards that are missing, and tells all of them the present settings. */
  async function openShards(current: BufferOpening): Promise<void> {
    const { version } = current;
    const started = await shards.start(current, current.missing);
    if (!isFirstRun) return;
    // One that was stopped a moment ago may have ended in between. The shards that were started know, but for what was
    // said since.
    const gone = await shards.tell(settingsSignal, [settingsOf(current)], current.version === version ? started : []);
    if (gone.length > 0) await shards.start(current);
  }

  async function reconfigured<R extends { changed: boolean; version: number; options?: BufferOptions }>(
    current: BufferOpening,
    { options, ...result }: R,
    given: BufferOptions,
  ): Promise<Omit<R, 'options'>> {
    if (!result.changed) return result;
    Object.assign(current, { options: options ?? given, version: result.version });
    await shards.start(current);
    await shards.tell(settingsSignal, [settingsOf(current)]);
    describe(current);
    happenings++;
    return result;
  }

  async function changeState(
    current: BufferOpening,
    to: BufferRunState,
    more: { lift?: true } = {},
  ): Promise<BufferCommandResult> {
    const result = await setBufferState({ buffer: name, state: to });
    Object.assign(current, await openBuffer({ buffer: name }));
    if (to === 'stopped') {
      // The entries of a page of `init` must come before the shards end.
      reading?.cancel();
      await condition(() => reading === undefined);
    }
    await shards.tell(settingsSignal, [{ ...settingsOf(current), ...more }]);
    describe(current);
    happenings++;
    return result;
  }

  /** Shows a person the buffer in the Temporal UI. */
  function describe({ state: runState, options }: BufferOpening): void {
    setCurrentDetails(
      `**${name}**: ${runState}, ${state.shards} shards, batches of up to ${options.maxBatchSize}, run ${workflowInfo().runId}`,
    );
  }
}
