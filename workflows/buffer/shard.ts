/**
 * One shard of a buffer: its queue. Senders' messages come in as signals and updates (`intake.ts`), batches go out as
 * activities and come back with what became of them (`outcome.ts`); `nextShardStep` (`plan.ts`) says what to do next.
 * Every entry is in this workflow's state from the message that brought it until it is done, dead, merged or dropped,
 * so the counts hold at every moment, whichever process dies. Started by the parent (`buffer.ts`); ends when its buffer
 * is stopped (`reopen.ts`).
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
  type PushMessage,
  type ShardSinks,
  type ShardStatus,
} from './contract';
import type { BatchResult, BufferActivities } from './activities';
import type { ShardInput, ShardState } from './state';
import { slim } from './carry';
import { accept, countOf, readPush, refusalOf } from './intake';
import { indexKeys } from './keys';
import { lastSeq } from './marks';
import { HELD_MS, settle } from './outcome';
import { historyFull, nextShardStep, type ShardMoment } from './plan';
import { awaitedOf, freshShardState, pendingOf, runningOf, waitingOf } from './queue';
import { reopened } from './reopen';
import { isSpilling, shardStatus } from './status';
import { errorText, StoreSide } from './store-side';
import { bridge, storeReached } from './storing';
import { batchInput, moveDue, takeBatch } from './take';

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
  const begin = input.begin && { ...input.begin, nowMs: Date.now() };
  const state: ShardState = input.state ?? freshShardState(input.orders!, input.userState ?? null, begin);
  const index = indexKeys(state);
  const where = { buffer, shard: number };
  const scopes = new Map<number, CancellationScope>();
  let tellingRoom = false;
  let takingBack = false;
  let untold = true;
  let unreported = true;
  let lastReportMs = Date.now();
  let lastRoomMs = 0;
  /** Entries that the parent believes to wait here; one that was started with nothing has nothing. */
  let believed: number | null = input.state ? null : 0;
  let morePages = true;
  let restsSinceMs: number | null = null;
  /** Updates of this run: the server takes 2,000. */
  let updates = 0;
  /** What the commands of one task carry: the length of the history tells one from the next. */
  const task = { length: 0, bytes: 0 };
  /** Raised by whatever may change the next step. */
  let happenings = 0;
  const happened = (): void => {
    untold = unreported = true;
    happenings++;
  };
  const spent = (bytes: number): void => {
    task.bytes = bytes + taskBytes();
    task.length = workflowInfo().historyLength;
  };
  const side = new StoreSide(state, index, where, { happened, spent });
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
  setHandler(
    pushUpdate,
    (messages) => {
      updates++;
      // Between the question and the answer a stop may have come.
      const refusal = refusalOf(state, messages.map(readPush));
      if (refusal === 'stopped') return { accepted: false, waitMs: 0, stopped: true };
      if (refusal) return { accepted: false, waitMs: refusal.waitMs };
      for (const message of messages) accept(state, index, readPush(message), Date.now());
      happened();
      return { accepted: true };
    },
    {
      // What is refused here is not in the history, which senders that wait would fill.
      validator: (messages: PushMessage[]) => {
        const refusal = refusalOf(state, messages.map(readPush));
        if (refusal === undefined) return;
        const { BufferStopped, BufferFull } = ErrorType;
        if (refusal === 'stopped') throw ApplicationFailure.nonRetryable(`buffer ${buffer} is stopped`, BufferStopped);
        throw ApplicationFailure.nonRetryable(
          `a shard of buffer ${buffer} has no room now`,
          BufferFull,
          refusal.waitMs,
        );
      },
    },
  );
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
    if (orders.lift) state.holdUntil = 0;
    // They come from PostgreSQL: it answers.
    if (state.outage) storeReached(state);
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
    bridge(state, index, side.prefix);
    moveDue(state, index, Date.now());
    warnOfSpilling();
    restsSinceMs = waitingOf(state) > 0 ? null : (restsSinceMs ?? Date.now());
    const step = nextShardStep(state, moment());
    switch (step.do) {
      case 'run':
        void run();
        break;
      case 'ask':
        void side.ask();
        break;
      case 'store':
        void side.store(state.stopped === true || historyFull(state, moment()));
        break;
      case 'fetch':
        void side.fetch(step.lane);
        break;
      case 'bury':
        void side.bury();
        break;
      case 'revive':
        void side.reviveDead();
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
        // A handler ends a moment after what it raised was seen. Where only that is missing, nothing else may ever
        // come.
        const waitsForHandlers = !allHandlersFinished();
        alarm.by(step.untilMs ?? Infinity);
        await condition(() => happenings !== seen || (waitsForHandlers && allHandlersFinished()));
        break;
      }
    }
  }

  function moment(): ShardMoment {
    const { historyLength, historySize, continueAsNewSuggested } = workflowInfo();
    return {
      ...side.busy,
      nowMs: Date.now(),
      untold,
      unreported,
      lastReportMs,
      tellingRoom,
      believed,
      morePages,
      lastRoomMs,
      restsSinceMs,
      handlersBusy: !allHandlersFinished(),
      historyEvents: historyLength,
      historyBytes: historySize,
      updates,
      suggested: continueAsNewSuggested,
      taskBytes: taskBytes(),
      takingBack,
    };
  }

  function taskBytes(): number {
    return workflowInfo().historyLength === task.length ? task.bytes : 0;
  }

  /** All that is known is kept. False: it was not, or something has come meanwhile. */
  async function saved(): Promise<boolean> {
    const seen = happenings;
    const status = shardStatus(state, buffer, number, Date.now());
    if (!(await side.save(status)) || happenings !== seen || !allHandlersFinished()) return false;
    node.size({ ...where, bytes: 0, shrunk: false, atMinimum: true });
    setCurrentDetails(describe(status));
    return true;
  }

  /** One batch from the queue to what became of it. Every way it can end is settled, once. */
  async function run(): Promise<void> {
    const { number: id, batch, bytes } = takeBatch(state, index, Date.now());
    spent(bytes);
    const scope = new CancellationScope();
    scopes.set(id, scope);
    let outcome: BatchResult['outcome'];
    try {
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
      outcome = (await scope.run(() => runBatch(batchInput(state, where, id)))).outcome;
    } catch (error) {
      outcome = outcomeOf(error);
    }
    scopes.delete(id);
    settle(state, index, id, outcome, Date.now());
    if (outcome.kind === 'failed') log.warn('A batch failed', { ...where, batch: id, error: outcome.error });
    happened();
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
    node.report({ status, moment: side.moment() });
  }

  async function report(): Promise<void> {
    untold = unreported = false;
    lastReportMs = Date.now();
    const status = shardStatus(state, buffer, number, Date.now());
    show(status);
    if (!(await side.report(status))) unreported = true;
    happenings++;
  }

  async function tellRoom(): Promise<void> {
    tellingRoom = true;
    lastRoomMs = Date.now();
    believed = awaitedOf(state, Date.now());
    await getExternalWorkflowHandle(bufferWorkflowId(buffer))
      .signal(roomSignal, {
        shard: number,
        waiting: believed,
        putOff: Math.max(0, pendingOf(state) + runningOf(state) - believed),
        seq: lastSeq(state, INIT_SENDER),
      })
      // Of a parent that is gone; the next one starts from what it finds.
      .catch(() => undefined);
    tellingRoom = false;
    happenings++;
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
    const later = { kind: 'held', error: cause.message, forMs: HELD_MS } as const;
    if (cause.type === ErrorType.StoreUnavailable) return { ...later, store: true };
    if (cause.type === ErrorType.NotDefinedHere) return later;
  }
  const late = cause instanceof TimeoutFailure && cause.timeoutType === 'START_TO_CLOSE';
  return { kind: 'failed', error: errorText(error), tooLarge: late, final: false };
}
