/**
 * One shard of a buffer: its queue. Senders' messages come in as signals and updates (`intake.ts`), batches go out as activities and
 * come back with what became of them (`outcome.ts`); `nextShardStep` (`plan.ts`) says what to do next. Every entry is in this
 * workflow's state from the message that brought it until it is done, dead, merged or dropped, so the counts hold at
 * every moment, whichever process dies. Started by the parent (`buffer.ts`); ends when its buffer is stopped (`reopen.ts`).
 */
import {
  ActivityCancellationType,
  ActivityFailure,
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyActivities,
  proxySinks,
  setCurrentDetails,
  setHandler,
  TimeoutFailure,
  workflowInfo,
} from '@temporalio/workflow';
import { Alarm } from '../lib/alarm';
import { throughTheGate } from '../lib/continue-as-new';
import { ErrorType, NON_RETRYABLE } from '../lib/errors';
import {
  bufferWorkflowId,
  deadSignal,
  flushSignal,
  INIT_SENDER,
  memorySignal,
  orderSignal,
  pushSignal,
  pushUpdate,
  roomSignal,
  shardStatusQuery,
  type ShardSinks,
  type ShardStatus,
} from './contract';
import type { BatchResult, BufferActivities } from './activities';
import type { LaneName, ShardInput, ShardState } from './state';
import { accept, countOf, indexKeys, lastSeq, pressureOf, readPush } from './intake';
import { batchInput, buried, moveDue, revive, settle, takeBatch } from './outcome';
import {
  beginStore,
  fetched,
  fetchRows,
  historyFull,
  isSpilling,
  nextShardStep,
  notStored,
  shardStatus,
  slim,
  stored,
  type ShardMoment,
} from './plan';
import { freshShardState, hasStored, pendingOf, waitingOf } from './queue';
import { reopened, save } from './reopen';

/** After a store, fetch or burial that PostgreSQL did not take. Milliseconds. */
const STORE_PAUSE_MS = 1_000;
/** A batch that no worker knows how to run, or whose rows cannot be read now. Milliseconds. */
const HELD_MS = 1_000;

const { storeChunks, fetchChunks, buryEntries, takeDead, reportShard } = proxyActivities<BufferActivities>({
  startToCloseTimeout: 30_000,
  // Tried again from here, with what is known by then.
  retry: { maximumAttempts: 2, initialInterval: 100, nonRetryableErrorTypes: [...NON_RETRYABLE] },
});

const { buffers: node } = proxySinks<ShardSinks>();

export async function shard(input: ShardInput): Promise<void> {
  // Whoever cancels it would lose what it holds: it goes on.
  await CancellationScope.nonCancellable(async () => {
    const state = input.reopen ? await reopened(input) : input.state;
    await keepShard({ ...input, state });
  });
}

async function keepShard(input: ShardInput): Promise<void> {
  const { buffer, shard: number } = input;
  const state: ShardState = input.state ?? freshShardState(input.orders!, input.userState ?? null);
  const index = indexKeys(state);
  const where = { buffer, shard: number };
  const scopes = new Map<number, CancellationScope>();
  const busy = {
    storing: false,
    fetching: false,
    burying: false,
    reviving: false,
    reporting: false,
    tellingRoom: false,
  };
  let takingBack = false;
  let untold = true;
  let unreported = true;
  let lastReportMs = Date.now();
  let lastRoomMs = 0;
  /** Entries that the parent believes to wait here; one that was started with nothing has nothing. */
  let believed: number | null = input.state ? null : 0;
  let morePages = true;
  let restsSinceMs: number | null = null;
  let storeNotBeforeMs = 0;
  /** The length of the history at the last report, and which one of this task it was. */
  let taskLength = 0;
  let inTask = 0;
  /** Raised by whatever may change the next step. */
  let happenings = 0;
  const happened = (): void => {
    untold = unreported = true;
    happenings++;
  };
  const alarm = new Alarm(() => happenings++);

  // ── Handlers: they take in what was said ──
  setHandler(pushSignal, (payload) => {
    const message = readPush(payload);
    accept(state, index, message, Date.now());
    // Also where it was in already: a parent that was lost counts its last page again.
    if (message.sender === INIT_SENDER) {
      if (believed !== null) believed += countOf(message);
      morePages = message.last !== true;
    }
    happened();
  });
  setHandler(pushUpdate, (messages) => {
    if (state.stopped) return { accepted: false, waitMs: 0, stopped: true };
    // What is pushed to the front is always admitted.
    const waitMs = messages.every((message) => message.front === true) ? 0 : pressureOf(state);
    if (waitMs > 0) return { accepted: false, waitMs };
    for (const message of messages) accept(state, index, readPush(message), Date.now());
    happened();
    return { accepted: true };
  });
  setHandler(flushSignal, () => {
    state.flushBelow = state.nextEntry;
    happened();
  });
  setHandler(orderSignal, (orders) => {
    if (orders.version < state.optionsVersion) return;
    state.options = orders.options;
    state.optionsVersion = orders.version;
    state.paused = orders.paused;
    state.stopped = orders.stopped === true;
    happened();
  });
  setHandler(deadSignal, (order) => {
    state.deadOrders.push({ ...order, page: 0 });
    happened();
  });
  setHandler(memorySignal, (wish) => {
    state.shrunk = wish === 'shrink';
    happened();
  });
  setHandler(shardStatusQuery, () => shardStatus(state, buffer, number, Date.now()));

  // ── The loop: decide, carry out, wait ──
  for (;;) {
    moveDue(state, index, Date.now());
    warnOfSpilling();
    restsSinceMs = waitingOf(state) > 0 ? null : (restsSinceMs ?? Date.now());
    const step = nextShardStep(state, moment());
    switch (step.do) {
      case 'run':
        void run();
        break;
      case 'store':
        void store();
        break;
      case 'fetch':
        void fetch(step.lane);
        break;
      case 'bury':
        void bury(step.count);
        break;
      case 'revive':
        void reviveDead();
        break;
      case 'tell':
        tell();
        break;
      case 'report':
        void report();
        break;
      case 'tellRoom':
        void tellRoom();
        break;
      case 'takeBack':
        takingBack = true;
        for (const scope of scopes.values()) scope.cancel();
        break;
      case 'slim':
        slim(state);
        break;
      case 'continueAsNew':
        await throughTheGate(
          () => nextShardStep(state, moment()).do === 'continueAsNew',
          () => continueAsNew<typeof shard>({ buffer, shard: number, state: { ...state, runs: state.runs + 1 } }),
        );
        break;
      case 'end':
        if (await saved()) return;
        break;
      case 'wait': {
        const seen = happenings;
        // A handler ends a moment after what it raised was seen. Where only that is missing, nothing else may ever come.
        const waitsForHandlers = !allHandlersFinished();
        alarm.by(step.untilMs ?? Infinity);
        await condition(() => happenings !== seen || (waitsForHandlers && allHandlersFinished()));
        break;
      }
    }
  }

  function moment(): ShardMoment {
    const { historyLength, historySize } = workflowInfo();
    return {
      ...busy,
      nowMs: Date.now(),
      untold,
      unreported,
      lastReportMs,
      believed,
      morePages,
      lastRoomMs,
      restsSinceMs,
      storeNotBeforeMs,
      handlersBusy: !allHandlersFinished(),
      historyEvents: historyLength,
      historyBytes: historySize,
      takingBack,
    };
  }

  /** All that is known is kept. False: it was not, or something has come meanwhile. */
  async function saved(): Promise<boolean> {
    const seen = happenings;
    const status = shardStatus(state, buffer, number, Date.now());
    try {
      await save(state, status, reportMoment());
    } catch (error) {
      state.lastError = errorText(error);
      storeNotBeforeMs = Date.now() + STORE_PAUSE_MS;
      log.warn('The shard is stopped and could not be kept; trying again', { ...where, error });
      return false;
    }
    if (happenings !== seen || !allHandlersFinished()) return false;
    node.size({ ...where, bytes: 0, shrunk: false, atMinimum: true });
    setCurrentDetails(describe(status));
    return true;
  }

  /** Orders the reports of all runs, those of one task as well. */
  function reportMoment(): number {
    const { historyLength } = workflowInfo();
    inTask = historyLength === taskLength ? inTask + 1 : 0;
    taskLength = historyLength;
    return state.runs * 1e6 + historyLength + Math.min(inTask, 999) / 1_000;
  }

  /** One batch from the queue to what became of it. Every way it can end is settled, once. */
  async function run(): Promise<void> {
    const { number: id, batch } = takeBatch(state, index, Date.now());
    const scope = new CancellationScope();
    scopes.set(id, scope);
    let outcome: BatchResult['outcome'];
    try {
      const checkKeys = state.options.key !== null && hasStored(state);
      const { timeoutMs, heartbeatTimeoutMs } = state.options;
      const { runBatch } = proxyActivities<BufferActivities>({
        // The margin is for reading rows and for the answer; the timeout itself is kept by the worker.
        startToCloseTimeout: timeoutMs + 30_000,
        heartbeatTimeout: heartbeatTimeoutMs,
        cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary: `batch ${id}: ${batch.count} entries`,
        // The same batch again after a lost worker; what then still fails is for `outcome.ts`.
        retry: { maximumAttempts: 2, initialInterval: 100, nonRetryableErrorTypes: [...NON_RETRYABLE] },
      });
      outcome = (await scope.run(() => runBatch(batchInput(state, where, id, checkKeys)))).outcome;
    } catch (error) {
      outcome = outcomeOf(error);
    }
    scopes.delete(id);
    settle(state, index, id, outcome, Date.now());
    if (outcome.kind === 'failed') log.warn('A batch failed', { ...where, batch: id, error: outcome.error });
    happened();
  }

  async function store(): Promise<void> {
    const storing = beginStore(state, index, historyFull(state, moment()), `${buffer}.${number}`);
    await guarded('storing', () => storeChunks({ ...where, rows: storing.rows, keyed: state.options.key !== null }), {
      done: () => stored(state, storing),
      failed: () => notStored(state, index, storing),
    });
  }

  async function fetch(lane: LaneName): Promise<void> {
    const { from, to } = state[lane].stored;
    const input = { ...where, lane, from, to, dueMs: Date.now(), limit: fetchRows };
    await guarded('fetching', () => fetchChunks(input), { done: (found) => fetched(state, lane, found) });
  }

  async function bury(count: number): Promise<void> {
    const chunks = state.burying.slice(0, count);
    await guarded('burying', () => buryEntries({ ...where, chunks }), { done: () => buried(state, count) });
  }

  async function reviveDead(): Promise<void> {
    const order = state.deadOrders[0]!;
    const { op, action, page } = order;
    await guarded('reviving', () => takeDead({ ...where, op, action, page }), {
      done: (found) => {
        if (found.count === 0) state.deadOrders.shift();
        else revive(state, index, found, order);
        order.page++;
      },
    });
  }

  /** What its node and a person see of the shard. */
  function show(status: ShardStatus): void {
    const { bytes, shrunk, atMinimum } = status;
    node.size({ ...where, bytes, shrunk, atMinimum });
    setCurrentDetails(describe(status));
  }

  /** A report that may be lost: another one follows. */
  function tell(): void {
    untold = false;
    const status = shardStatus(state, buffer, number, Date.now());
    show(status);
    node.report({ status, moment: reportMoment() });
  }

  async function report(): Promise<void> {
    untold = unreported = false;
    lastReportMs = Date.now();
    busy.reporting = true;
    const status = shardStatus(state, buffer, number, Date.now());
    show(status);
    const forget = state.forget.splice(0, 1_000);
    // Only while nothing is stored: an older entry of a key must not be taken for the newest.
    const forgetKeys = state.options.key !== null && !hasStored(state) ? state.nextEntry - 1 : null;
    try {
      await reportShard({ status, moment: reportMoment(), forget, forgetKeys });
    } catch {
      // Rows that stay are looked for by the patrol; the next report tells the rest.
      state.forget.push(...forget);
      unreported = true;
      lastReportMs = Date.now() + STORE_PAUSE_MS;
    }
    busy.reporting = false;
    happenings++;
  }

  async function tellRoom(): Promise<void> {
    busy.tellingRoom = true;
    lastRoomMs = Date.now();
    believed = waitingOf(state);
    await getExternalWorkflowHandle(bufferWorkflowId(buffer))
      .signal(roomSignal, { shard: number, waiting: believed, seq: lastSeq(state, INIT_SENDER) })
      // Of a parent that is gone; the next one starts from what it finds.
      .catch(() => undefined);
    busy.tellingRoom = false;
    happenings++;
  }

  /** An activity of the shard's own housekeeping; what fails is tried again after a pause. */
  async function guarded<T>(
    what: keyof typeof busy,
    act: () => Promise<T>,
    ends: { done: (result: T) => void; failed?: () => void },
  ): Promise<void> {
    busy[what] = true;
    try {
      const result = await act();
      busy[what] = false;
      ends.done(result);
    } catch (error) {
      busy[what] = false;
      ends.failed?.();
      state.lastError = errorText(error);
      storeNotBeforeMs = Date.now() + STORE_PAUSE_MS;
      log.warn(`The buffer's store failed while ${what}; trying again`, { ...where, error });
    }
    happened();
  }

  function warnOfSpilling(): void {
    const now = isSpilling(state);
    if (now && !state.spilling) {
      const { bound } = state.options;
      log.warn('The shard is at its bound; what comes goes to PostgreSQL', {
        ...where,
        bound,
        pending: pendingOf(state),
      });
    }
    state.spilling = now;
  }

  function describe({ accepted, done, pending, running, dead }: ShardStatus): string {
    return (
      `**${buffer}**, shard ${number}: ${accepted} accepted, ${done} done, ${pending} pending, ${running} running, ${dead} dead` +
      (state.lastError === null ? '' : `\n\nlast error: ${state.lastError}`)
    );
  }
}

/** A batch whose activity has failed: its worker is gone, no worker knows the buffer, or PostgreSQL is away. */
function outcomeOf(error: unknown): BatchResult['outcome'] {
  if (isCancellation(error)) return { kind: 'held', error: 'taken back', forMs: 0 };
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) {
    const later = cause.type === ErrorType.NotDefinedHere || cause.type === ErrorType.StoreUnavailable;
    if (later) return { kind: 'held', error: cause.message, forMs: HELD_MS };
  }
  const late = cause instanceof TimeoutFailure && cause.timeoutType === 'START_TO_CLOSE';
  return { kind: 'failed', error: errorText(error), tooLarge: late, final: false };
}

function errorText(error: unknown): string {
  const cause = error instanceof ActivityFailure && error.cause ? error.cause : error;
  if (cause instanceof TimeoutFailure && cause.timeoutType === 'HEARTBEAT') return 'its worker was lost';
  return cause instanceof Error ? cause.message : String(cause);
}
