/**
 * The decisions of a tracker's two workflows, as pure functions: which pool holds an id, how many pools a
 * tracker needs, and what a pool should do next. `pool.ts` and `tracker.ts` carry them out; the roster activities and
 * the client use the same hash, so they never disagree on where an id lives.
 */
import { idProblem } from './id';
import { jsonBytes } from '../lib/size';
import {
  nodeShiftQueue,
  sharedShiftQueue,
  type PoolOpening,
  type PoolPlacement,
  type PoolState,
  type RosterChange,
  type RosterPayload,
  type ShiftInput,
  type ShiftResult,
  type Unbegun,
} from './contract';
import { hashId } from '../lib/hash';
import { POOL_TUNABLES } from './tunables';

// ── Which pool holds an id ───────────────────────────────────────────────────────────────────

/**
 * Linear hashing (Litwin, 1980): with 2^l the largest power of two not above `pools`, the hash modulo 2^(l+1)
 * where that pool exists already, else modulo 2^l. Growing by one pool moves ids from one pool only.
 * Its twin in SQL is `longwatch.pool_of`; where a pool's members lie is told by `slots.ts`.
 */
export function poolOf(hash: number, pools: number): number {
  const level = 2 ** Math.floor(Math.log2(pools));
  const wide = hash % (2 * level);
  return wide < pools ? wide : hash % level;
}

/** Pools needed so that `members` fit, never fewer than there are. */
export function poolsFor(members: number, poolSize: number, pools: number): number {
  return Math.max(pools, Math.ceil(members / poolSize), 1);
}

/** Trackers above this many members get larger pools: few and large pools fail over faster (5,000 a pool). */
const LARGE_TRACKER = 250_000;
const LARGE_POOL = 5_000;

/** The size that a tracker's pools should keep to, given how many members it has. */
export function effectivePoolSize(poolSize: number, members: number): number {
  return members > LARGE_TRACKER ? Math.max(poolSize, LARGE_POOL) : poolSize;
}

// ── What a pool does next ────────────────────────────────────────────────────────────────────

export function freshPoolState(): PoolState {
  return { version: 1, shift: 0, pending: [], members: 0, quarantined: false, runs: 1 };
}

/**
 * Reads what a signal says, whoever typed it: a message, a list of ids or one id. Anything else counts as nothing: one
 * id that the store refuses would keep every change behind it from being applied, for ever.
 */
export function readRoster(payload: RosterPayload, change: RosterChange['change']): RosterChange[] {
  const message =
    typeof payload === 'string' ? { ids: [payload] } : Array.isArray(payload) ? { ids: payload } : payload;
  if (!message || !Array.isArray(message.ids)) return [];
  const stamp = Number.isSafeInteger(message.stamp) ? { stamp: message.stamp } : {};
  return message.ids.filter((id) => idProblem(id) === undefined).map((id) => ({ id, change, ...stamp }));
}

/**
 * Applies so far, as a time: none are owed once it has passed, each adds `applyGapMs` (the generic cell rate
 * algorithm).
 * @returns the same with one apply more
 */
export function oweApply(owedUntilMs: number, nowMs: number): number {
  return Math.max(owedUntilMs, nowMs) + POOL_TUNABLES.applyGapMs;
}

/** The facts that the pool's workflow knows beside its carried state. */
export interface PoolMoment {
  opened: boolean;
  trackerStopped: boolean;
  applying: boolean;
  onShift: boolean;
  shiftAskedToEnd: boolean;
  /** Its shift was not begun for long, and waits on a queue that is not its tracker's any more. */
  waitsElsewhere: boolean;
  /** Handlers (signals, updates) that have not finished. */
  handlersBusy: boolean;
  /** The history has grown past the option `historyEvents`, or the server suggests to continue as new. */
  historyFull: boolean;
  nowMs: number;
  /** Applies that count against the next one, as a time (`oweApply`). */
  owedUntilMs: number;
  /** PostgreSQL did not take the last changes: no apply before this. */
  applyNotBeforeMs: number;
  /** Do not start a shift before this. */
  notBeforeMs: number;
}

export type PoolStep =
  | { do: 'open' }
  | { do: 'apply'; count: number }
  | { do: 'startShift' }
  | { do: 'askShiftToEnd' }
  | { do: 'continueAsNew' }
  | { do: 'complete' }
  | { do: 'wait'; untilMs?: number };

/** The next thing to do; `wait` when nothing can be done before something happens or `untilMs` comes. */
export function nextPoolStep(state: PoolState, moment: PoolMoment): PoolStep {
  if (!moment.opened) return { do: 'open' };

  const idle = !moment.applying && !moment.onShift && !moment.handlersBusy;
  const nextApplyMs = Math.max(
    moment.owedUntilMs - (POOL_TUNABLES.applyBurst - 1) * POOL_TUNABLES.applyGapMs,
    moment.applyNotBeforeMs,
  );
  const mayApply = state.pending.length > 0 && !moment.applying;
  if (mayApply && moment.nowMs >= nextApplyMs) {
    return { do: 'apply', count: batchOf(state.pending) };
  }

  if (moment.trackerStopped) {
    // Accepted changes are applied first: a stop loses no member.
    if (idle && state.pending.length === 0) return { do: 'complete' };
  } else if (moment.historyFull) {
    if (idle && carriedBytes(state) <= POOL_TUNABLES.carryBytes) return { do: 'continueAsNew' };
    // A running activity does not survive continue-as-new, so the shift hands back first.
    if (moment.onShift && !moment.shiftAskedToEnd) return { do: 'askShiftToEnd' };
  } else if (moment.onShift && (state.wanted !== undefined || moment.waitsElsewhere) && !moment.shiftAskedToEnd) {
    return { do: 'askShiftToEnd' };
  } else if (!moment.onShift && !state.quarantined && moment.nowMs >= moment.notBeforeMs) {
    return { do: 'startShift' };
  }

  const waits = [
    ...(mayApply ? [nextApplyMs] : []),
    ...(!moment.onShift && !state.quarantined && moment.notBeforeMs > moment.nowMs ? [moment.notBeforeMs] : []),
  ];
  return waits.length > 0 ? { do: 'wait', untilMs: Math.min(...waits) } : { do: 'wait' };
}

/** How many of the oldest changes go together; one at least. */
export function batchOf(pending: readonly RosterChange[]): number {
  let bytes = 0;
  let count = 0;
  for (; count < Math.min(pending.length, POOL_TUNABLES.applyBatch); count++) {
    bytes += jsonBytes(pending[count]) + 1;
    if (bytes > POOL_TUNABLES.applyBytes && count > 0) break;
  }
  return count;
}

function carriedBytes(state: PoolState): number {
  let bytes = 0;
  for (const change of state.pending) {
    bytes += jsonBytes(change) + 1;
    // Too much already, however much it is.
    if (bytes > POOL_TUNABLES.carryBytes) break;
  }
  return bytes;
}

/**
 * How long a pool's next shift lasts: the option ± 20 % by hash, and the first one of a pool anything from a
 * tenth of it, so that pools that were opened together do not hand over together.
 */
export function shiftDuration(shiftMs: number, pool: number, shift: number): number {
  const share = hashId(`${pool}/${shift}`) / 2 ** 32;
  return Math.round(shift <= 1 ? shiftMs * (0.1 + 0.9 * share) : shiftMs * (0.8 + 0.4 * share));
}

/** The next shift comes this much later than the end of this one. */
export function pauseAfter({ end }: Pick<ShiftResult, 'end'>, placement: PoolPlacement): number {
  if (end === 'fenced') return POOL_TUNABLES.fencedPauseMs;
  return end === 'redirected' && isHandedOnTooOften(placement) ? POOL_TUNABLES.handedOnPauseMs : 0;
}

// ── Where a pool's shifts go ─────────────────────────────────────────────────────────────────

/** The node that a `move` names, whoever typed it; undefined: nothing that could be the name of a node. */
export function readMove(message: unknown): string | undefined {
  const to: unknown = typeof message === 'object' && message !== null && 'to' in message ? message.to : undefined;
  return typeof to === 'string' && idProblem(to) === undefined ? to : undefined;
}

/** The placement of the shift that starts now: an operator's wish comes before what the last shift said. */
export function placementNow(
  { placement = {}, wanted, lastShift }: Pick<PoolState, 'placement' | 'wanted' | 'lastShift'>,
  nowMs: number,
): PoolPlacement {
  if (wanted === undefined) return placement;
  const from = placement.from ?? lastShift?.node;
  return { to: wanted, hops: POOL_TUNABLES.wantedHops, handedOnAtMs: nowMs, ...(from === undefined ? {} : { from }) };
}

/** How a shift of that placement is scheduled, and what it is told of it. */
export interface ShiftSchedule {
  taskQueue: string;
  /** Begun by no node after so long, it is the workflow's business again. */
  beginWithinMs: number;
  /** By its own node's queue it is tried once: whatever ends it, the next one goes by the shared queue. */
  once: boolean;
  input: Pick<ShiftInput, 'hops' | 'waitedMs' | 'from'>;
}

export function scheduleOf(
  placement: PoolPlacement,
  { label, beginWithinMs }: Pick<PoolOpening, 'label' | 'beginWithinMs'>,
  unbegun: Unbegun | undefined,
  nowMs: number,
): ShiftSchedule {
  const { to, hops = 0, handedOnAtMs, from } = placement;
  const input: ShiftSchedule['input'] = {
    ...(hops === 0 ? {} : { hops }),
    ...(handedOnAtMs === undefined ? {} : { waitedMs: Math.max(0, nowMs - handedOnAtMs) }),
    ...(from === undefined ? {} : { from }),
  };
  if (to !== undefined) {
    return { taskQueue: nodeShiftQueue(to), beginWithinMs: POOL_TUNABLES.ownQueueMs, once: true, input };
  }
  const waits = Math.min(2 ** (unbegun?.times ?? 0), POOL_TUNABLES.mostBeginWaits);
  return { taskQueue: sharedShiftQueue(label), beginWithinMs: waits * beginWithinMs, once: false, input };
}

/** The placement after a shift that has ended with a result. */
export function placementAfter(before: PoolPlacement, result: ShiftResult, nowMs: number): PoolPlacement {
  const { end, node, to } = result;
  if (end === 'redirected') {
    const { handedOnAtMs = nowMs, from } = before;
    const after = { hops: (before.hops ?? 0) + 1, handedOnAtMs, ...(from === undefined ? {} : { from }) };
    return to === undefined || isHandedOnTooOften(after) ? after : { to, ...after };
  }
  if (to === undefined || end === 'stopped' || end === 'fenced' || end === 'quarantined') return {};
  return to === node ? { to, from: node } : { to, hops: 1, handedOnAtMs: nowMs, from: node };
}

/** The end of a shift that has no result. */
export type ShiftFailure =
  /** No node took it from its queue in time. */
  | 'unbegun'
  /** It was taken back before a node had begun it. */
  | 'withdrawn'
  /** Its node died, or it failed there. */
  | 'failed';

export function placementAfterFailure(before: PoolPlacement, failure: ShiftFailure): PoolPlacement {
  if (failure === 'failed') return {};
  if (failure === 'withdrawn') return before;
  // It has waited for some time already: whoever may keep it takes it.
  const after = { ...before };
  delete after.to;
  return after;
}

/** The note of a shift that nobody has begun; one that only its own node left alone is not. */
export function unbegunAfter(
  before: Unbegun | undefined,
  { taskQueue, beginWithinMs, once }: ShiftSchedule,
  nowMs: number,
): Unbegun | undefined {
  if (once) return before;
  const same = before?.queue === taskQueue ? before : undefined;
  return {
    queue: taskQueue,
    sinceMs: same?.sinceMs ?? nowMs - beginWithinMs,
    untilMs: nowMs,
    times: (same?.times ?? 0) + 1,
  };
}

export function waitsElsewhere(
  { unbegun, placement }: Pick<PoolState, 'unbegun' | 'placement'>,
  queue: string | undefined,
  opening: Pick<PoolOpening, 'label'> | undefined,
): boolean {
  if (unbegun === undefined || opening === undefined || placement?.to !== undefined) return false;
  return queue !== sharedShiftQueue(opening.label);
}

const isHandedOnTooOften = ({ hops = 0 }: PoolPlacement): boolean => hops > POOL_TUNABLES.mostHops;
