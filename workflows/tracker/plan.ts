/**
 * The decisions of a tracker's two workflows, as pure functions: which pool holds an id, how many pools a
 * tracker needs, and what a pool should do next. `pool.ts` and `tracker.ts` carry them out; the roster activities and
 * the client use the same hash, so they never disagree on where an id lives.
 */
import { idProblem } from './id';
import { jsonBytes } from '../lib/size';
import type { PoolState, RosterChange, RosterPayload } from './contract';
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

/** Shifts that could not be kept, as 'fenced' and 'handed back', are followed by the next after this long. */
export function pauseAfter(end: string): number {
  return end === 'fenced' ? POOL_TUNABLES.fencedPauseMs : 0;
}
