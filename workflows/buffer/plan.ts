/**
 * The next step of a shard, as a pure function of its state and the moment: run a batch, store, fetch, bury, ask
 * whether PostgreSQL is back, tell, report, continue as new, or wait. `shard.ts` carries it out; a simulation drives it
 * through random histories (`test/buffer/driven-shard.ts`).
 */
import type { LaneName, ShardState } from './state';
import { carriedBytes, isWordy, marksBytes } from './carry';
import { batchReady } from './next-batch';
import { storeIsThere } from './outage';
import { roomFor } from './init';
import { awaitedOf } from './queue';
import { wantsStore } from './spill';
import { wantsFetch } from './fetch';
import { SHARD_TUNABLES } from './tunables';

/** The facts that the shard's workflow knows beside its state. */
export interface ShardMoment {
  nowMs: number;
  storing: boolean;
  fetching: boolean;
  burying: boolean;
  reviving: boolean;
  reporting: boolean;
  asking: boolean;
  /** Something has changed since the node was told. */
  untold: boolean;
  /** Something has changed since the last report. */
  unreported: boolean;
  lastReportMs: number;
  /** The parent is being told of the shard's room. */
  tellingRoom: boolean;
  /** Entries that the parent believes to wait here; null: nobody knows. */
  believed: number | null;
  /** The pass of `init` goes on, as far as is known: the parent waits for room. */
  morePages: boolean;
  lastRoomMs: number;
  /** Since when nothing waits or runs; null: something does. */
  restsSinceMs: number | null;
  handlersBusy: boolean;
  historyEvents: number;
  historyBytes: number;
  /** Updates of this run. */
  updates: number;
  /** The server suggests to continue as new. */
  suggested: boolean;
  /** The bytes that this task's commands carry so far. */
  taskBytes: number;
  /** Running batches have been asked to give back. */
  takingBack: boolean;
}

export type ShardStep =
  | { do: 'run' }
  | { do: 'ask' }
  | { do: 'store' }
  | { do: 'fetch'; lane: LaneName }
  | { do: 'bury' }
  | { do: 'revive' }
  | { do: 'tell' }
  | { do: 'report' }
  | { do: 'tellRoom' }
  | { do: 'takeBack' }
  | { do: 'slim' }
  | { do: 'continueAsNew' }
  | { do: 'end' }
  | { do: 'wait'; untilMs?: number };

/** The next task: its commands have the whole of what one may carry. */
const nextTask = ({ nowMs }: ShardMoment): ShardStep => ({ do: 'wait', untilMs: nowMs + 1 });

export function nextShardStep(state: ShardState, moment: ShardMoment): ShardStep {
  const { nowMs } = moment;
  const leaving = state.stopped === true || historyFull(state, moment);
  const heavy = moment.taskBytes >= SHARD_TUNABLES.taskBytes;
  const store = storeStep(state, moment, leaving);
  if (store) return heavy && store.do !== 'ask' ? nextTask(moment) : store;
  const ready = batchReady(state, nowMs);
  if (leaving) return leavingStep(state, moment, ready);
  const there = storeIsThere(state);
  if (there && !moment.reviving && state.deadOrders.length > 0) return { do: 'revive' };
  if (there && !moment.fetching) {
    const lane = wantsFetch(state, nowMs);
    if (lane) return { do: 'fetch', lane };
  }
  if (ready === 'now') return heavy ? nextTask(moment) : { do: 'run' };
  const reportAt = there ? nextReport(state, moment) : undefined;
  if (reportAt !== undefined && nowMs >= reportAt) return { do: 'report' };
  if (moment.untold) return { do: 'tell' };
  const roomAt = nextRoom(state, moment);
  if (roomAt !== undefined && nowMs >= roomAt) return { do: 'tellRoom' };

  const waits = [
    ...(ready === undefined ? [] : [ready]),
    ...(reportAt === undefined || isBusy(state) ? [] : [reportAt]),
    ...(roomAt === undefined ? [] : [roomAt]),
    ...(state.later.chunks[0]?.at === undefined ? [] : [state.later.chunks[0].at]),
    ...(state.laterDue === null || moment.fetching ? [] : [state.laterDue]),
    ...(there ? [] : [state.outage!.untilMs]),
  ].filter((at) => at > nowMs);
  return waits.length > 0 ? { do: 'wait', untilMs: Math.min(...waits) } : { do: 'wait' };
}

/**
 * The next step towards PostgreSQL: a store or a burial, or, while it is away, a question with nothing in its hands.
 */
function storeStep(state: ShardState, moment: ShardMoment, leaving: boolean): ShardStep | undefined {
  if (!storeIsThere(state)) {
    return !moment.asking && moment.nowMs >= state.outage!.untilMs ? { do: 'ask' } : undefined;
  }
  if (!moment.storing && wantsStore(state, leaving)) return { do: 'store' };
  if (!moment.burying && state.burying.length > 0) return { do: 'bury' };
  return undefined;
}

/** On the way to the end of this run, or of the shard: nothing new is begun, but where that would make it wait. */
function leavingStep(state: ShardState, moment: ShardMoment, ready: ReturnType<typeof batchReady>): ShardStep {
  const { nowMs, storing, fetching, burying, reviving, reporting, asking, tellingRoom } = moment;
  const idle = !storing && !fetching && !burying && !reviving && !reporting && !asking && !tellingRoom;
  const there = storeIsThere(state);
  const mustLeave = overfull(moment);
  if (isWordy(state)) return { do: 'slim' };
  const carried = carriedBytes(state);
  const fits =
    carried + marksBytes(state) <= SHARD_TUNABLES.carryBytesAtMost &&
    (!there || mustLeave || carried <= SHARD_TUNABLES.carryBytes);
  if (idle && !isBusy(state) && !moment.handlersBusy) {
    if (state.stopped && there && fits) return { do: 'end' };
    if (fits && historyFull(state, moment)) return { do: 'continueAsNew' };
  }
  if (isBusy(state) && !moment.takingBack && mustLeave) return { do: 'takeBack' };
  const slowAt = Math.min(...Object.values(state.running).map(({ since }) => since ?? 0)) + SHARD_TUNABLES.slowMs;
  // Batches go on while more is left than may be carried (what they take needs no storing), and beside one that takes
  // long.
  const goesOn = !moment.takingBack && !mustLeave && (!fits || nowMs >= slowAt);
  if (goesOn && ready === 'now') return moment.taskBytes >= SHARD_TUNABLES.taskBytes ? nextTask(moment) : { do: 'run' };
  const waits = [
    ...(there ? [] : [state.outage!.untilMs]),
    ...(isBusy(state) && slowAt < Infinity ? [slowAt] : []),
    ...(goesOn && typeof ready === 'number' ? [ready] : []),
  ].filter((at) => at > nowMs);
  return waits.length > 0 ? { do: 'wait', untilMs: Math.min(...waits) } : { do: 'wait' };
}

function isBusy(state: ShardState): boolean {
  return Object.keys(state.running).length > 0;
}

function nextReport(
  state: ShardState,
  { unreported, reporting, lastReportMs, restsSinceMs }: ShardMoment,
): number | undefined {
  if (!unreported || reporting) return undefined;
  return isBusy(state)
    ? lastReportMs + SHARD_TUNABLES.busyReportMs
    : Math.max(lastReportMs, restsSinceMs ?? 0) + SHARD_TUNABLES.reportMs;
}

/**
 * When the parent is told next: at once if it would read another page of `init`; after a while if the shard is now
 * drained, or is not drained any more.
 */
function nextRoom(state: ShardState, moment: ShardMoment): number | undefined {
  const { tellingRoom, believed, morePages, lastRoomMs, restsSinceMs, nowMs } = moment;
  if (!state.options.init || tellingRoom) return undefined;
  const waiting = awaitedOf(state, nowMs);
  if (believed === null || (morePages && believed - waiting >= roomFor(state.options))) return 0;
  if ((believed === 0) === (waiting === 0)) return undefined;
  return Math.max(lastRoomMs, restsSinceMs ?? 0) + SHARD_TUNABLES.roomMs;
}

export function historyFull({ options }: ShardState, moment: ShardMoment): boolean {
  const { historyEvents, historyBytes, suggested } = moment;
  return suggested || historyEvents >= options.historyEvents || historyBytes >= SHARD_TUNABLES.historyBytes;
}

function overfull({ historyEvents, historyBytes, updates }: ShardMoment): boolean {
  return (
    historyEvents >= SHARD_TUNABLES.historyEventsAtMost ||
    historyBytes >= SHARD_TUNABLES.historyBytesAtMost ||
    updates >= SHARD_TUNABLES.updatesAtMost
  );
}
