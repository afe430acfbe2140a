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
import { poolWorkflowId, type ShiftInput, type ShiftResult } from '../../../workflows/tracker/contract';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { recordCrash, seenFence, takeFence, type PoolClaim, type PoolFence, isOfCleanEnd } from '../store/fence';
import { failedAttempt } from './failed-attempt';
import { errorOf, failure } from '../../lib/failures';
import { reach } from '../../lib/points';
import type { Database, Queryable } from '../../lib/database';
import { freshnessOf, membersOf, type FreshnessRow, type MemberRow } from '../store/members';
import { readSlots } from '../store/pools';
import type { Slots } from '../../../workflows/tracker/slots';
import { isPassing } from '../../lib/sqlstate';
import { readTracker, type TrackerRow } from '../store/trackers';
import type { TemporalLink } from '../../lib/temporal';
import { mayBecome } from '../placement/heartbeat';
import { PLACEMENT } from '../placement/constants';
import type { Decision } from '../placement/take';
import { DEFAULT_PATIENCE_MS, EndWatch } from './end-watch';
import type { Node } from './node';
import { ForcedCrash } from './notice';
import type { OperationHost } from './host';
import type { Lateness } from './lateness';
import type { Meanwhile } from './meanwhile';
import { PoolShift, type Ending } from './pool-shift';
import { unreadableHere, type Reader } from './readable';
import { resultOf } from './shift-result';
import { readShiftOptions } from './shift-options';
import { finish } from './finish';
import { retryAnywhere } from './retry-anywhere';
import { unable, whileAble } from './while-able';
import { readMemberBuckets, type StoredBuckets } from '../../upstream/store/purse';
import { startHeartbeat } from '../../lib/heartbeat';
import { sleep } from '../../lib/sleep';

/** Between two tries to take a pool that somebody has locked, or of a database that is away. Milliseconds. */
const TAKE_AGAIN_MS = 250;
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

/**
 * The parts of a node that a shift needs to begin; a simulated one has no more (these two parts are all that it calls
 * here).
 */
type Taker = Pick<Node, 'taking' | 'clock' | 'isDraining'> &
  Partial<Reader> & { placing: Pick<Node['placing'], 'offer'> };
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
  const taken = await whileAble(node, (isGivenUp) => take(deps, claim, input, isGivenUp));
  const definition = node.definitions.get(name);
  if ('answer' in taken) {
    if (taken.answer === 'redirect') return { ...resultOf('redirected', node, undefined, 0), to: taken.to };
    throw declined(node, claim, definition !== undefined);
  }
  if (taken.tracker.state === 'stopped') return resultOf('stopped', node, undefined, 0);
  if (!definition) throw declined(node, claim, false);
  if (attempt > 1) node.placing.restarted(name);
  // Tried again and again, it would keep the time-out that it was scheduled with, which may be why it is.
  const { options } = taken.tracker;
  if (attempt > 1 && !mayBecome(options.heartbeatTimeoutMs, heartbeatTimeoutMs)) {
    const told = await readShiftOptions(deps.database, options, options.heartbeatTimeoutMs);
    deps.meanwhile?.ended(claim, taken.fence.token);
    return { ...resultOf('handed back', node, undefined, 0), options: told };
  }
  const pool: TakenPool = { claim, token: taken.fence.token, definition, log };
  let shift: PoolShift;
  try {
    shift = await begin(deps, claim, taken, definition, log);
  } catch (thrown) {
    // Taken and not pool: it counts as a crash, or it would be tried for ever.
    return await crashed(deps, pool, undefined, errorOf(thrown), 0);
  }
  const over = new AbortController();
  void retryAnywhere(deps.temporal, claim, options, log, over.signal);
  const result = await keepUntilEnd(deps, shift, pool, input, heartbeatTimeoutMs).finally(() => over.abort());
  return { ...result, options: await readShiftOptions(deps.database, shift.options, heartbeatTimeoutMs) };
}

const declinedFor = (attempt: number): number =>
  Math.min(PLACEMENT.nobodyMaxMs, PLACEMENT.nobodyMs * 2 ** Math.min(attempt - 1, 10));

/** No node that lives may keep the pool: it is offered again, later each time. */
function declined(node: Node, { tracker, attempt }: PoolClaim, isDefined: boolean): Error {
  const nextRetryDelay = declinedFor(attempt);
  if (isDefined) {
    const message = `node ${node.row.name} may not keep pools of ${tracker} now (drained, or without its label), and no other node may`;
    return failure(ErrorType.Declined, message, { nextRetryDelay });
  }
  const message = `the config of node ${node.row.name} has no tracker ${tracker}, and no other node that lives has it`;
  return failure(ErrorType.NotDefinedHere, message, { nextRetryDelay });
}

interface Taken {
  fence: PoolFence;
  tracker: TrackerRow;
}

/**
 * Reads the tracker, asks whether the pool is to be kept here, and takes the fence; waits out a short outage of the
 * database, and whoever has the pool locked, for as long as a shift would.
 * @returns the answer, where it is not to be kept here
 */
export async function take(
  {
    node,
    database,
    temporal,
  }: Pick<ShiftDeps, 'database'> & { node: Taker; temporal: Pick<TemporalLink, 'isCurrent'> },
  claim: PoolClaim,
  input: ShiftInput,
  isGivenUp = () => false,
): Promise<Taken | Exclude<Decision, { answer: 'take' }>> {
  const began = performance.now();
  let patienceMs = DEFAULT_PATIENCE_MS;
  let decision: Decision | undefined;
  for (;;) {
    try {
      const isCurrent = () => temporal.isCurrent(poolWorkflowId(claim.tracker, claim.pool), claim.runId);
      const inTurn = <T>(work: () => Promise<T>) => node.taking.run(work);
      const { tracker, seen } = await inTurn(() =>
        database.transaction(async (db) => ({
          tracker: await readTracker(db, claim.tracker),
          seen: await seenFence(db, claim),
        })),
      );
      if (isGivenUp()) throw failure(ErrorType.Declined, 'the pool has been given up');
      if (!tracker) throw failure(ErrorType.UnknownTracker, `there is no tracker ${claim.tracker} in the database`);
      patienceMs = tracker.options.patienceMs ?? DEFAULT_PATIENCE_MS;
      // Asked once: who takes it counts it from then on. A tracker that is stopped has nothing to keep.
      if (tracker.state !== 'stopped') decision ??= node.placing.offer(tracker, seen, claim, input);
      if (decision && decision.answer !== 'take') return decision;
      const unread = decision && (await inTurn(() => unreadableHere(node, database, claim)));
      if (unread !== undefined) {
        throw failure(ErrorType.Declined, unread, { nextRetryDelay: declinedFor(claim.attempt) });
      }
      return { tracker, fence: await takeFence(database, claim, isCurrent, node.clock, inTurn) };
    } catch (error) {
      if (!isPassing(error) || node.isDraining || isGivenUp() || performance.now() - began > patienceMs) throw error;
      await sleep(TAKE_AGAIN_MS);
    }
  }
}

/** Loads the pool's members and what is known of their values, and puts the shift on the node. */
export async function begin(
  { node, database }: { node: Beginner; database: Database },
  claim: PoolClaim,
  { fence, tracker }: { fence: PoolFence; tracker: TrackerRow },
  definition: TrackerDefinition,
  log: Logger,
): Promise<PoolShift> {
  await reach('shift.fenced');
  const { spender } = node;
  // Twice what the pool should hold; it grows.
  const purse = spender?.purse(2 * tracker.options.poolSize);
  const latenessOf = (of: string, operation: string): Lateness => node.latenessOf(of, operation);
  const shift = new PoolShift({ claim, fence, definition, host: node, log, latenessOf, purse }, tracker);
  try {
    const read = (db: Queryable): Promise<Loaded> => load(db, claim, purse !== undefined);
    const { slots, members, freshness, buckets, isClean } = await node.loading.run(() => database.transaction(read));
    // Only now: with its members it starts runs, which nobody would end if the reading failed after all.
    shift.loadAll(members, freshness, buckets, isClean);
    node.turns?.keep(shift, slots);
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
async function load(db: Queryable, { tracker, pool }: PoolClaim, hasPurse: boolean): Promise<Loaded> {
  const slots = await readSlots(db, tracker, pool);
  const members = await membersOf(db, tracker, slots);
  const freshness: FreshnessRow[] = [];
  for (let from = 0; from < members.length; from += LOAD_PART) {
    const part = members.slice(from, from + LOAD_PART).map((member) => member.key);
    for (const row of await freshnessOf(db, part)) freshness.push(row);
  }
  const keys = members.map((member) => member.key);
  if (!hasPurse) return { slots, members, freshness };
  const isClean = await isOfCleanEnd(db, { tracker, pool });
  return { slots, members, freshness, buckets: await readMemberBuckets(db, keys), isClean };
}

interface Loaded {
  slots: Slots;
  members: MemberRow[];
  freshness: FreshnessRow[];
  buckets?: StoredBuckets;
  /** The keeper before said that nothing was under way. */
  isClean?: boolean;
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
