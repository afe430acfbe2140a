/**
 * The `shift` activity: asks the node whether the pool is to be kept here (`placing.ts`), takes its fence, reads its
 * members, and keeps the pool until its time is up or something ends it. Called by `workflows/tracker/pool.ts`; the
 * work itself is done by `pool-shift.ts` under the node's tick and flush. `end-watch.ts` decides what ends it, and
 * nothing else does.
 */
import { performance } from 'node:perf_hooks';
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import { ErrorType } from '../../../workflows/lib/errors';
import type { ShiftInput, ShiftResult } from '../../../workflows/tracker/contract';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { recordCrash, type PoolClaim, type PoolFence, isOfCleanEnd } from '../store/fence';
import { declined } from './declined';
import { failedAttempt } from './failed-attempt';
import { errorOf, failure } from '../../lib/failures';
import { reach } from '../../lib/points';
import type { Database, Queryable } from '../../lib/database';
import type { Struck } from '../member/strikes';
import { freshnessOf, membersOf, type FreshnessRow, type MemberRow } from '../store/members';
import { readSlots } from '../store/pools';
import { findStruck } from '../store/strikes';
import type { Slots } from '../../../workflows/tracker/slots';
import { classOf, isPassing } from '../../lib/sqlstate';
import type { TrackerRow } from '../store/trackers';
import type { TemporalLink } from '../../lib/temporal';
import { mayBecome } from '../placement/heartbeat';
import { EndWatch } from './end-watch';
import type { Node } from './node';
import { ForcedCrash } from './notice';
import type { OperationHost } from './host';
import type { Lateness } from './lateness';
import type { Meanwhile } from './meanwhile';
import { PoolShift, type Ending } from './pool-shift';
import { resultOf } from './shift-result';
import { readShiftOptions } from './shift-options';
import { finish } from './finish';
import { retryAnywhere } from './retry-anywhere';
import { take, type Taken } from './take-pool';
import { unable, whileAble } from './while-able';
import { readMemberBuckets, type StoredBuckets } from '../../upstream/store/purse';
import { startHeartbeat } from '../../lib/heartbeat';

/** Members whose values are read in one go. */
const LOAD_PART = 500;

export interface ShiftDeps {
  node: Node;
  database: Database;
  temporal: TemporalLink;
  log: Logger;
  /** Keeps what nobody takes in time. */
  meanwhile?: Meanwhile;
}

/** The parts of a node that a shift needs to begin; a simulated one has no more. */
type Beginner = Pick<Node, 'loading' | 'trackers' | 'join' | 'latenessOf'> & OperationHost & { turns?: Node['turns'] };

export async function keepPool(deps: ShiftDeps, input: ShiftInput): Promise<ShiftResult> {
  const { node } = deps;
  const { info } = Context.current();
  // A poll that was out has brought it: it would hold the pool until its patience ends. One that ends hands pools on.
  const isUnable = unable(node);
  if (isUnable) throw isUnable;
  const claim: PoolClaim = {
    tracker: input.tracker,
    pool: input.pool,
    runId: info.workflowExecution!.runId,
    shift: input.shift,
    attempt: info.attempt,
    node: node.row.name,
  };
  const began = performance.now();
  const stopHeartbeat = startHeartbeat();
  let end: ShiftResult['end'] | undefined;
  try {
    const result = await takeAndKeep(deps, claim, input, info.heartbeatTimeoutMs ?? 5_000);
    end = result.end;
    const to = node.placing.over(claim, end) ?? result.to;
    return to === undefined ? result : { ...result, to };
  } catch (thrown) {
    const error = errorOf(thrown);
    if ((error as { type?: unknown }).type === ErrorType.Fenced) return resultOf('fenced', node, undefined, 0);
    throw failedAttempt(error, info.attempt, performance.now() - began);
  } finally {
    if (end === undefined) node.placing.over(claim, undefined);
    stopHeartbeat();
  }
}

async function takeAndKeep(
  deps: ShiftDeps,
  claim: PoolClaim,
  input: ShiftInput,
  heartbeatTimeoutMs: number,
): Promise<ShiftResult> {
  const { node } = deps;
  const { tracker: name, pool: number, shift: count, attempt } = claim;
  const log = deps.log.child({ tracker: name, pool: number, shift: count, attempt });
  const taking = whileAble(node, (isGivenUp) => take(deps, claim, input, isGivenUp));
  const taken = await begun(node, claim, log, taking);
  const definition = node.definitions.get(name);
  if ('answer' in taken) {
    if (taken.answer === 'redirect') return { ...resultOf('redirected', node, undefined, 0), to: taken.to };
    throw declined(node, claim, definition !== undefined);
  }
  try {
    deps.meanwhile?.taken(claim);
    if (taken.tracker.state === 'stopped') return resultOf('stopped', node, undefined, 0);
    if (!definition) throw declined(node, claim, false);
    return await keepTaken(
      deps,
      taken,
      { claim, token: taken.fence.token, definition, log },
      input,
      heartbeatTimeoutMs,
    );
  } finally {
    taken.arrived();
  }
}

async function keepTaken(
  deps: ShiftDeps,
  taken: Taken,
  pool: TakenPool,
  input: ShiftInput,
  heartbeatTimeoutMs: number,
): Promise<ShiftResult> {
  const { node } = deps;
  const { claim, definition, log } = pool;
  const { options } = taken.tracker;
  if (claim.attempt > 1) node.placing.restarted(claim.tracker);
  // Tried again and again, it would keep the time-out that it was scheduled with, which may be why it is.
  if (claim.attempt > 1 && !mayBecome(options.heartbeatTimeoutMs, heartbeatTimeoutMs)) {
    const told = await readShiftOptions(deps.database, options, options.heartbeatTimeoutMs);
    deps.meanwhile?.ended(claim, taken.fence.token);
    return { ...resultOf('handed back', node, undefined, 0), options: told };
  }
  let shift: PoolShift;
  try {
    const beginning = whileAble(node, (isGivenUp) => begin(deps, claim, taken, definition, log, isGivenUp));
    shift = await begun(node, claim, log, beginning);
  } catch (thrown) {
    const error = errorOf(thrown);
    if ((error as { type?: unknown }).type === ErrorType.Declined) throw error;
    // Taken and not kept: it counts as a crash, or it would be tried for ever.
    return await crashed(deps, pool, undefined, error, 0);
  }
  taken.arrived();
  const over = new AbortController();
  void retryAnywhere(deps.temporal, claim, options, log, over.signal);
  const result = await keepUntilEnd(deps, shift, pool, input, heartbeatTimeoutMs).finally(() => over.abort());
  return { ...result, options: await readShiftOptions(deps.database, shift.options, heartbeatTimeoutMs) };
}

/**
 * A pool that cannot be begun comes again until it can, and has no keeper meanwhile: that is said. Not where PostgreSQL
 * is away, which the node says of itself, nor where it is placement that wants the pool elsewhere.
 */
async function begun<T>(node: Node, claim: PoolClaim, log: Logger, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    const error = errorOf(thrown);
    const isElsewhere = ELSEWHERE.has((error as { type?: unknown }).type);
    if (!isElsewhere && classOf(error) !== 'outage' && node.failing.failed(claim, error.message))
      log.warn({ err: error }, 'the pool cannot be begun here; nobody keeps it until it can be, and it is tried again');
    throw error;
  }
}

/** Why a pool is not begun here though nothing is wrong with it. */
const ELSEWHERE: ReadonlySet<unknown> = new Set([
  ErrorType.Declined,
  ErrorType.NotDefinedHere,
  ErrorType.Fenced,
  ErrorType.PoolNotCurrent,
]);

/**
 * Loads the pool's members and what is known of their values, and puts the shift on the node.
 * @param isGivenUp nobody waits for it any more: it must not come about
 */
export async function begin(
  { node, database }: { node: Beginner; database: Database },
  claim: PoolClaim,
  { fence, tracker }: { fence: PoolFence; tracker: TrackerRow },
  definition: TrackerDefinition,
  log: Logger,
  isGivenUp = () => false,
): Promise<PoolShift> {
  await reach('shift.fenced');
  const { spender } = node;
  // Twice what the pool should hold; it grows.
  const purse = spender?.purse(2 * tracker.options.poolSize);
  const latenessOf = (of: string, operation: string): Lateness => node.latenessOf(of, operation);
  const shift = new PoolShift({ claim, fence, definition, host: node, log, latenessOf, purse }, tracker);
  try {
    const asked = { hasPurse: purse !== undefined, receives: tracker.options.receive !== undefined };
    const read = (db: Queryable): Promise<Loaded> => load(db, claim, asked);
    const { slots, members, freshness, buckets, isClean, struck } = await node.loading.run(() =>
      database.transaction(read),
    );
    if (isGivenUp()) throw failure(ErrorType.Declined, 'the pool has been given up');
    // Only now: with its members it starts runs, which nobody would end if the reading failed after all.
    shift.loadAll(members, freshness, buckets, isClean);
    node.turns?.keep(shift, slots, struck);
  } catch (error) {
    shift.close();
    if (purse) spender?.release(purse);
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
  { tracker, pool }: PoolClaim,
  { hasPurse, receives }: { hasPurse: boolean; receives: boolean },
): Promise<Loaded> {
  const slots = await readSlots(db, tracker, pool);
  const struck = receives ? await findStruck(db, { tracker, pool }, slots) : undefined;
  const members = await membersOf(db, tracker, slots);
  const freshness: FreshnessRow[] = [];
  for (let from = 0; from < members.length; from += LOAD_PART) {
    const part = members.slice(from, from + LOAD_PART).map((member) => member.key);
    for (const row of await freshnessOf(db, part)) freshness.push(row);
  }
  const keys = members.map((member) => member.key);
  if (!hasPurse) return { slots, members, freshness, struck };
  const isClean = await isOfCleanEnd(db, { tracker, pool });
  return { slots, members, freshness, buckets: await readMemberBuckets(db, keys), isClean, struck };
}

interface Loaded {
  slots: Slots;
  members: MemberRow[];
  freshness: FreshnessRow[];
  buckets?: StoredBuckets;
  /** The keeper before said that nothing was under way. */
  isClean?: boolean;
  /** Undefined: its members do not receive. */
  struck: Struck | undefined;
}

async function keepUntilEnd(
  deps: ShiftDeps,
  shift: PoolShift,
  pool: TakenPool,
  input: ShiftInput,
  heartbeatTimeoutMs: number,
): Promise<ShiftResult> {
  const { node } = deps;
  const began = Date.now();
  const watch = new EndWatch(node.clock, deps.temporal, node.writer, shift, input, heartbeatTimeoutMs);
  let ending: Ending;
  try {
    ending = await shift.ended;
  } finally {
    watch.stop();
    shift.close();
  }
  await finish(deps, shift, ending);
  const ranMs = Date.now() - began;
  if (ending instanceof Error) return crashed(deps, pool, shift, ending, ranMs);
  shift.log.info({ end: ending, ranMs, members: shift.members.size }, 'hands the pool back');
  if (FOLLOWED.includes(ending)) deps.meanwhile?.ended(shift.claim, shift.token);
  return resultOf(ending, node, shift, ranMs);
}

/** A next shift comes right after these. */
const FOLLOWED: readonly Ending[] = ['elapsed', 'asked', 'moved', 'handed back'];

/** A pool that was taken, whether or not its shift came about. */
interface TakenPool {
  claim: PoolClaim;
  token: number;
  definition: TrackerDefinition;
  log: Logger;
}

/** A crash is tried again by Temporal (on any worker), until there have been three in a row. */
async function crashed(
  { node, database }: ShiftDeps,
  { claim, token, definition, log }: TakenPool,
  shift: PoolShift | undefined,
  error: Error,
  ranMs: number,
): Promise<ShiftResult> {
  // Not this pool's doing: an outage, somebody's lock, a statement that took too long.
  if (isPassing(error)) throw error;
  log.error({ err: error, ranMs }, 'the shift crashed');
  node.report(error, { tracker: definition.name, pool: claim.pool, node: node.row.name }, definition);
  if (await recordCrash(database, claim, token, error)) {
    log.error('the pool is in quarantine; `longwatch resume` releases it');
    return resultOf('quarantined', node, shift, ranMs);
  }
  throw error instanceof ForcedCrash ? failure(ErrorType.ForcedCrash, error.message) : error;
}
