/**
 * The `shift` activity: takes the pool's fence, reads its members, and keeps the pool until its time is up or
 * something ends it. Called by `workflows/tracker/pool.ts`; the work itself is done by `pool-shift.ts` under the node's
 * tick and flush. What ends a shift is decided here, and nowhere else.
 *
 * The fence decides, not Temporal's reachability: when Temporal cannot be reached, core cancels the activity by
 * itself after a while; such a cancellation is not obeyed. The shift goes on as long as its flushes hold the fence.
 */
import { performance } from 'node:perf_hooks';
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import { ErrorType } from '../../../workflows/lib/errors';
import {
  poolWorkflowId,
  type ShiftInput,
  type ShiftOptions,
  type ShiftResult,
} from '../../../workflows/tracker/contract';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { recordCrash, releaseFence, takeFence, type Claim, type Held } from '../store/fence';
import { errorOf, failure } from '../../lib/failures';
import { reach } from '../../lib/points';
import type { Database, Queryable } from '../../lib/database';
import { freshnessOf, membersOf, type FreshnessRow, type MemberRow } from '../store/members';
import { readSlots } from '../store/pools';
import { isPassing } from '../../lib/sqlstate';
import { readTracker, type TrackerRow } from '../store/trackers';
import type { TemporalLink } from '../../lib/temporal';
import { ForcedCrash, type Node } from './node';
import type { OperationHost } from './host';
import { PoolShift, type Ending } from './pool-shift';
import { SHORT_RUN_MS, WindDown } from './wind-down';
import { startHeartbeat } from '../../lib/heartbeat';
import { sleep } from '../../lib/sleep';

/** A shift whose time is up looks this often whether its runs have ended. Milliseconds. */
const WIND_DOWN_STEP_MS = 10;
/**
 * A pool whose history is full waits no longer than this for its long runs: it takes in changes meanwhile, and a
 * history has an end. What is thrown away then is counted. Milliseconds.
 */
const ASKED_MS = 5 * 60_000;
/**
 * While Temporal is away, or this activity unknown to it, a shift looks this often whether it may end. Milliseconds.
 */
const OUTAGE_CHECK_MS = 1_000;
/** Options that were stored before there was such an option have none. */
const DEFAULT_PATIENCE_MS = 10_000;
/** Between two tries to take a pool that somebody has locked, or of a database that is away. Milliseconds. */
const TAKE_AGAIN_MS = 250;
/** Members whose values are read in one go. */
const LOAD_PART = 500;
/** How often an orphaned shift asks for a successor. Milliseconds. */
const ORPHAN_WAKE_MS = 15_000;
/** Temporal takes a wake within this, or it is asked again. Milliseconds. */
const WAKE_MS = 5_000;
/** A run that has timed out, or whose thread has not begun, is given up within this. Milliseconds. */
const MARGIN_MS = 61_000;

export interface ShiftDeps {
  node: Node;
  database: Database;
  temporal: TemporalLink;
  log: Logger;
}

/**
 * What a shift needs of its node to come about; a simulated one has no more (these two parts are all that it calls
 * here).
 */
type Taker = Pick<Node, 'taking' | 'clock'>;
type Beginner = Pick<Node, 'loading' | 'trackers' | 'join' | 'latenessOf'> & OperationHost;

export async function keepShift(deps: ShiftDeps, input: ShiftInput): Promise<ShiftResult> {
  const { node } = deps;
  const { info } = Context.current();
  if (node.isDraining) {
    throw failure(ErrorType.Declined, `node ${node.node.name} takes no more shifts`, { nextRetryDelay: '100ms' });
  }
  const definition = node.definitions.get(input.tracker);
  if (!definition) {
    throw failure(ErrorType.NotDefinedHere, `the config of node ${node.node.name} has no tracker ${input.tracker}`);
  }
  const claim: Claim = {
    tracker: input.tracker,
    pool: input.pool,
    runId: info.workflowExecution!.runId,
    shift: input.shift,
    attempt: info.attempt,
    node: node.node.name,
  };
  const log = deps.log.child({ tracker: input.tracker, pool: input.pool, shift: input.shift, attempt: info.attempt });
  const heartbeatTimeoutMs = info.heartbeatTimeoutMs ?? 5_000;
  const stopHeartbeat = startHeartbeat();
  try {
    const taken = await take(deps, claim);
    if (taken.tracker.state === 'stopped') return resultOf('stopped', node, undefined, 0);
    // Tried again and again, it would keep the time-out that it was scheduled with, which may be why it is.
    if (info.attempt > 1 && taken.tracker.options.heartbeatTimeoutMs !== heartbeatTimeoutMs) {
      return { ...resultOf('handed back', node, undefined, 0), options: shiftOptions(taken.tracker) };
    }
    const kept: Kept = { claim, token: taken.held.token, definition, log };
    let shift: PoolShift;
    try {
      shift = await begin(deps, claim, taken, definition, log);
    } catch (thrown) {
      // Taken and not kept: it counts as a crash, or it would be tried for ever.
      return await crashed(deps, kept, undefined, errorOf(thrown), 0);
    }
    return await keep(deps, shift, kept, input, heartbeatTimeoutMs);
  } catch (thrown) {
    const error = errorOf(thrown);
    if ((error as { type?: unknown }).type === ErrorType.Fenced) return resultOf('fenced', node, undefined, 0);
    throw error;
  } finally {
    stopHeartbeat();
  }
}

/**
 * Reads the tracker and takes the fence; waits out a short outage of the database, and whoever has the pool locked, for
 * as long as a shift would.
 */
export async function take(
  {
    node,
    database,
    temporal,
  }: Pick<ShiftDeps, 'database'> & { node: Taker; temporal: Pick<TemporalLink, 'isCurrent'> },
  claim: Claim,
): Promise<{ held: Held; tracker: TrackerRow }> {
  const began = performance.now();
  let patienceMs = DEFAULT_PATIENCE_MS;
  for (;;) {
    try {
      const isCurrent = () => temporal.isCurrent(poolWorkflowId(claim.tracker, claim.pool), claim.runId);
      const inTurn = <T>(work: () => Promise<T>) => node.taking.run(work);
      const tracker = await inTurn(() => database.transaction((db) => readTracker(db, claim.tracker)));
      if (!tracker) throw failure(ErrorType.UnknownTracker, `there is no tracker ${claim.tracker} in the database`);
      patienceMs = tracker.options.patienceMs ?? DEFAULT_PATIENCE_MS;
      return { tracker, held: await takeFence(database, claim, isCurrent, node.clock, inTurn) };
    } catch (error) {
      if (!isPassing(error) || performance.now() - began > patienceMs) throw error;
      await sleep(TAKE_AGAIN_MS);
    }
  }
}

/** Loads the pool's members and what is known of their values, and puts the shift on the node. */
export async function begin(
  { node, database }: { node: Beginner; database: Database },
  claim: Claim,
  { held, tracker }: { held: Held; tracker: TrackerRow },
  definition: TrackerDefinition,
  log: Logger,
): Promise<PoolShift> {
  await reach('shift.fenced');
  const shift = new PoolShift(
    { claim, held, definition, tracker, host: node, log, latenessOf: (t, o) => node.latenessOf(t, o) },
    tracker,
  );
  try {
    const { members, freshness } = await node.loading.run(() => database.transaction((db) => load(db, claim)));
    // Only now: with its members it starts runs, which nobody would end if the reading failed after all.
    shift.loadAll(members, freshness);
  } catch (error) {
    shift.close();
    throw error;
  }
  // Another shift of the tracker may have seen a newer row meanwhile; the next flush reads it again where this one is
  // the newer.
  const known = node.trackers.get(tracker.name);
  if (!known || known.version <= tracker.version) node.trackers.set(tracker.name, tracker);
  // Where an operation begins with it, the flush reads what is known of that.
  else if (shift.beginningWith(known).length === 0) shift.follow(known);
  node.join(shift, definition);
  log.info({ members: shift.members.size }, 'keeps the pool');
  return shift;
}

/** A part at a time: what the node keeps already goes on in between. */
async function load(
  db: Queryable,
  { tracker, pool }: Claim,
): Promise<{ members: MemberRow[]; freshness: FreshnessRow[] }> {
  const slots = await readSlots(db, tracker, pool);
  const members = await membersOf(db, tracker, slots);
  const freshness: FreshnessRow[] = [];
  for (let from = 0; from < members.length; from += LOAD_PART) {
    const part = members.slice(from, from + LOAD_PART).map((member) => member.key);
    for (const row of await freshnessOf(db, part)) freshness.push(row);
  }
  return { members, freshness };
}

async function keep(
  deps: ShiftDeps,
  shift: PoolShift,
  kept: Kept,
  input: ShiftInput,
  heartbeatTimeoutMs: number,
): Promise<ShiftResult> {
  const { node } = deps;
  const began = Date.now();
  const endings = watchForEnd(deps, shift, input, heartbeatTimeoutMs);
  let ending: Ending;
  try {
    ending = await shift.ended;
  } finally {
    endings.stop();
    shift.close();
  }
  await lastRuns(shift);
  if (ending !== 'fenced') await node.writer.flush();
  node.leave(shift);
  const ranMs = Date.now() - began;
  if (ending instanceof Error) return crashed(deps, kept, shift, ending, ranMs);
  await releaseFence(deps.database, shift.claim, shift.token).catch(() => undefined);
  shift.log.info({ end: ending, ranMs, members: shift.members.size }, 'hands the pool back');
  return resultOf(ending, node, shift, ranMs);
}

/** Everything that can end a shift, turned into `shift.end(…)`. */
function watchForEnd(
  { node, temporal }: ShiftDeps,
  shift: PoolShift,
  input: ShiftInput,
  heartbeatTimeoutMs: number,
): { stop: () => void } {
  const context = Context.current();
  const until = Date.now() + input.durationMs;
  let orphaned = false;
  let wokenAt = 0;
  let checking = false;

  let winding: NodeJS.Timeout | undefined;

  if (node.isDraining) shift.end('handed back');

  /** Ends when what runs has ended or timed out. */
  const windDown = (how: 'elapsed' | 'asked', mostMs: number) => {
    if (winding) return;
    const longest = Math.max(0, ...Object.values(shift.options.operations).map(({ timeoutMs }) => timeoutMs));
    const down = new WindDown(shift, node.clock.now() + Math.min(mostMs, longest + MARGIN_MS));
    const step = () => {
      if (!shift.isOver && down.step(node.clock.now())) shift.end(how);
    };
    winding = setInterval(step, WIND_DOWN_STEP_MS);
    step();
  };

  const onCancelled = () => {
    const details = context.cancellationDetails;
    if (details?.workerShutdown) return shift.end('handed back');
    if (details?.cancelRequested || details?.paused || details?.reset) return windDown('asked', ASKED_MS);
    // Core could not report heartbeats, or the server no longer knows the activity. The fence decides.
    orphaned = true;
    shift.log.warn({ details }, 'Temporal has let go of this shift; it keeps the pool until another one takes it');
  };
  context.cancellationSignal.addEventListener('abort', onCancelled, { once: true });
  if (context.cancellationSignal.aborted) onCancelled();

  /** Asks nobody, so that whoever does not answer cannot keep it from looking. */
  const checkStore = (): void => {
    const patienceMs = shift.options.patienceMs ?? DEFAULT_PATIENCE_MS;
    if (shift.refusedFor(performance.now()) <= patienceMs) return;
    shift.end(
      failure(ErrorType.StoreUnavailable, `nothing of this pool could be written for ${patienceMs} ms (patience)`),
    );
  };
  const check = async (): Promise<void> => {
    const now = Date.now();
    if (orphaned) {
      if (now - wokenAt < ORPHAN_WAKE_MS || !(await temporal.reachable())) return;
      wokenAt = now;
      // A server that swallows must not be waited for, or there is no further look.
      const wake = () => temporal.wakePool(input.tracker, input.pool);
      await temporal.within(new AbortController().signal, WAKE_MS, wake).catch(() => undefined);
    } else if (now >= until && (await temporal.reachable())) {
      windDown('elapsed', Infinity);
    }
  };
  const timer = setInterval(
    () => {
      if (shift.isOver) return;
      checkStore();
      if (checking) return;
      checking = true;
      void check().finally(() => (checking = false));
    },
    Math.min(OUTAGE_CHECK_MS, heartbeatTimeoutMs / 5, Math.max(20, input.durationMs / 5)),
  );
  return {
    stop: () => {
      clearInterval(timer);
      clearInterval(winding);
      context.cancellationSignal.removeEventListener('abort', onCancelled);
    },
  };
}

/**
 * After an end that does not wait (a shutdown, a stop, a crash): the short ones may still end; the others are given up
 * and counted.
 */
async function lastRuns(shift: PoolShift): Promise<void> {
  const until = Date.now() + SHORT_RUN_MS;
  while (shift.inFlight > 0 && Date.now() < until) await sleep(5);
  if (shift.inFlight > 0) shift.log.warn({ runs: shift.inFlight }, 'runs are given up, for their shift must end');
  shift.abandon('the shift is over');
}

/** A pool that was taken, whether or not its shift came about. */
interface Kept {
  claim: Claim;
  token: number;
  definition: TrackerDefinition;
  log: Logger;
}

/** A crash is tried again by Temporal (on any worker), until there have been three in a row. */
async function crashed(
  { node, database }: ShiftDeps,
  { claim, token, definition, log }: Kept,
  shift: PoolShift | undefined,
  error: Error,
  ranMs: number,
): Promise<ShiftResult> {
  // Not this pool's doing: an outage, somebody's lock, a statement that took too long.
  if (isPassing(error)) throw error;
  log.error({ err: error, ranMs }, 'the shift crashed');
  node.report(error, { tracker: definition.name, pool: claim.pool, node: node.node.name }, definition);
  if (await recordCrash(database, claim, token, error)) {
    log.error('the pool is in quarantine; `longwatch resume` releases it');
    return resultOf('quarantined', node, shift, ranMs);
  }
  throw error instanceof ForcedCrash ? failure(ErrorType.ForcedCrash, error.message) : error;
}

function shiftOptions({ options }: { options: ShiftOptions }): ShiftOptions {
  const { shiftMs, heartbeatTimeoutMs, historyEvents } = options;
  return { shiftMs, heartbeatTimeoutMs, historyEvents };
}

function resultOf(end: ShiftResult['end'], node: Node, shift: PoolShift | undefined, ranMs: number): ShiftResult {
  const result: ShiftResult = {
    end,
    node: node.node.name,
    members: shift?.members.size ?? 0,
    ranMs,
    fetched: 0,
    failed: 0,
    skipped: 0,
  };
  if (shift) result.options = shiftOptions(shift);
  for (const { counts } of shift?.loops.values() ?? []) {
    result.fetched += counts.fetched;
    result.failed += counts.failed;
    result.skipped += counts.skippedLate + counts.skippedLag;
  }
  return result;
}
