/**
 * The parent of a buffer: its options and state, its shards, and its `init`. An operator's word arrives as an update,
 * is written by an activity and handed to the shards (`shard.ts`) as a signal; senders talk to the shards themselves.
 * Started by the client; a patrol starts it again where it is missing. Ends when the buffer is stopped.
 */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  ParentClosePolicy,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  startChild,
  workflowInfo,
  type SignalDefinition,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { historyFull, throughTheGate } from '../lib/continue-as-new';
import { ErrorType } from '../lib/errors';
import {
  bufferStatusQuery,
  declareBufferUpdate,
  flushBufferUpdate,
  flushSignal,
  orderSignal,
  pauseBufferUpdate,
  reconfigureBufferUpdate,
  resumeBufferUpdate,
  roomSignal,
  shardWorkflowId,
  stopBufferUpdate,
  wakeBufferSignal,
  type BufferCommandResult,
  type BufferRunState,
  type ShardOrders,
} from './contract';
import type { BufferActivities, BufferOpening, MissingShard } from './activities';
import type { BufferInput, BufferState } from './state';
import {
  beginPass,
  freshBufferState,
  initProgress,
  nextInitStep,
  pageLimit,
  pageRead,
  roomTold,
  shardBegan,
  shardCount,
  shardsOf,
  type InitStep,
} from './init';
import { bufferChangeProblems, type BufferOptions } from './options';
import { shard as shardWorkflow } from './shard';
import type { OptionChange } from '../lib/options';
import { RETRY } from '../lib/retry';

/** Before what did not get through is tried again. Milliseconds. */
const PAUSE_MS = 10_000;

const { openBuffer, findMissingShards, setBufferState, declareBuffer, setBufferOptions } =
  proxyActivities<BufferActivities>({
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
  let now: BufferOpening | undefined;
  let woken = false;
  let reading: CancellationScope | undefined;
  /** Pages go on from here, not before. */
  let pollAtMs: number | undefined;
  let happenings = 0;
  /** Commands are carried out one after the other. */
  let line: Promise<unknown> = Promise.resolve();

  const inLine = <T>(command: (current: BufferOpening) => Promise<T>): Promise<T> => {
    const turn = line.then(async () => {
      await condition(() => now !== undefined);
      if (now!.state === 'stopped') {
        throw ApplicationFailure.nonRetryable(`buffer ${name} is stopped; start it again`, ErrorType.BufferStopped);
      }
      return command(now!);
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
      await toShards(flushSignal, []);
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
        const problems = now ? changes.flatMap((change) => bufferChangeProblems(now!.options, change)) : [];
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
    if (!now) throw ApplicationFailure.nonRetryable(`buffer ${name} is opening`, ErrorType.UnknownBuffer);
    const { options, version } = now;
    const init = initProgress(state, options, now.state !== 'running');
    return { buffer: name, state: now.state, shards: state.shards, options, version, init };
  });

  // ── Open, then read pages and wait for what is asked ──
  const current = (now = await openBuffer({ buffer: name, options: input.options, shards: state.shards }));
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
      await startShards(current);
      // One that goes on from before it was ended by force may have missed some.
      await toShards(orderSignal, [ordersOf(current)]);
    }
    const step = nextStep();
    if (step === 'read' && !reading && !leaving()) void readPage();
    if (mayLeave()) {
      await throughTheGate(mayLeave, () =>
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
    const shards = shardsOf(options);
    const limit = pageLimit(options);
    await scope
      .run(async () => {
        try {
          pageRead(state, await readInitPage({ buffer: name, pass, page, cursor, shards, seqs, limit }));
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

  /** Those that are missing are started, and all have the orders of now. */
  async function openShards(opening: BufferOpening): Promise<void> {
    const { version } = opening;
    const started = await startShards(opening, opening.missing);
    if (!isFirstRun) return;
    // One that was stopped a moment ago may have ended in between. Those that were started know, but for what was said
    // since.
    const gone = await toShards(orderSignal, [ordersOf(opening)], opening.version === version ? started : []);
    if (gone.length > 0) await startShards(opening);
  }

  async function reconfigured<R extends { changed: boolean; version: number; options?: BufferOptions }>(
    opening: BufferOpening,
    { options, ...result }: R,
    given: BufferOptions,
  ): Promise<Omit<R, 'options'>> {
    if (!result.changed) return result;
    Object.assign(opening, { options: options ?? given, version: result.version });
    await startShards(opening);
    await toShards(orderSignal, [ordersOf(opening)]);
    describe(opening);
    happenings++;
    return result;
  }

  async function changeState(
    opening: BufferOpening,
    to: BufferRunState,
    more: Pick<ShardOrders, 'lift'> = {},
  ): Promise<BufferCommandResult> {
    const result = await setBufferState({ buffer: name, state: to });
    Object.assign(opening, await openBuffer({ buffer: name }));
    if (to === 'stopped') {
      // What a page of `init` brings must come before the shards end.
      reading?.cancel();
      await condition(() => reading === undefined);
    }
    await toShards(orderSignal, [{ ...ordersOf(opening), ...more }]);
    describe(opening);
    happenings++;
    return result;
  }

  function ordersOf({ options, state: runState, version }: BufferOpening): ShardOrders {
    return { options, paused: runState === 'paused', stopped: runState === 'stopped', version };
  }

  /**
   * Children that outlive their parent: what they hold must not end with it. Only those are started that the server has
   * not, or that ended by themselves: one started in place of one that was terminated would know nothing of what that
   * one held.
   * @returns those that were started here, with the orders of now
   */
  async function startShards(opening: BufferOpening, known?: MissingShard[]): Promise<number[]> {
    const shards = (state.shards = shardCount(opening.options, state.shards, opening.shards ?? 0));
    const missing = known ?? (isStopped() ? [] : await findMissingShards({ buffer: name, shards }));
    const started = await Promise.all(missing.map((each) => startShard(opening, each)));
    return missing.flatMap(({ shard }, i) => (started[i] ? [shard] : []));
  }

  /** False: it runs already, or the buffer was stopped meanwhile. */
  async function startShard(opening: BufferOpening, { shard, kept, begin }: MissingShard): Promise<boolean> {
    if (isStopped()) return false;
    const orders = ordersOf(opening);
    if (begin) shardBegan(state, shard);
    const input = { buffer: name, shard, orders, userState: opening.options.state, reopen: kept };
    try {
      await CancellationScope.nonCancellable(() =>
        startChild(shardWorkflow, {
          workflowId: shardWorkflowId(name, shard),
          args: [begin ? { ...input, begin } : input],
          parentClosePolicy: ParentClosePolicy.ABANDON,
          staticSummary: `${name}, shard ${shard}`,
        }),
      );
      return true;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      return false;
    }
  }

  /** @returns those that could not be told */
  async function toShards<Args extends unknown[]>(
    signal: SignalDefinition<Args>,
    args: Args,
    except: readonly number[] = [],
  ): Promise<number[]> {
    const gone: number[] = [];
    const tell = async (number: number): Promise<void> => {
      try {
        await getExternalWorkflowHandle(shardWorkflowId(name, number)).signal(signal, ...args);
      } catch (error) {
        // One that is gone is started again by the next wake, with these orders.
        gone.push(number);
        if (now?.state !== 'stopped') log.warn('A shard could not be told', { buffer: name, shard: number, error });
      }
    };
    const all = Array.from({ length: state.shards }, (_, number) => number);
    await Promise.all(all.filter((number) => !except.includes(number)).map(tell));
    return gone;
  }

  /** What a person sees of the buffer in the Temporal UI. */
  function describe({ state: runState, options }: BufferOpening): void {
    setCurrentDetails(
      `**${name}**: ${runState}, ${state.shards} shards, batches of up to ${options.maxBatchSize}, run ${workflowInfo().runId}`,
    );
  }
}
