/**
 * How a pool comes to its node: its shift asks the node whether it is to be kept there (`placing.ts`), waits for its
 * turn, and takes the fence. Called by `keep.ts`, which loads the pool and keeps it.
 */
import { performance } from 'node:perf_hooks';
import { ErrorType } from '../../../workflows/lib/errors';
import { poolWorkflowId, type ShiftInput } from '../../../workflows/tracker/contract';
import { failure } from '../../lib/failures';
import type { Database, Queryable } from '../../lib/database';
import { sleep } from '../../lib/sleep';
import { isPassing } from '../../lib/sqlstate';
import type { TemporalLink } from '../../lib/temporal';
import type { Decision } from '../placement/take';
import { seenFence, takeFence, type PoolClaim, type PoolFence } from '../store/fence';
import { readTracker, type TrackerRow } from '../store/trackers';
import { DEFAULT_PATIENCE_MS } from './end-watch';
import type { Node } from './node';
import { newestOf, statesOf, unread, unreadable, type Reader } from './readable';

/** Between two tries to take a pool that somebody has locked, or of a database that is away. Milliseconds. */
const TAKE_AGAIN_MS = 250;

/** The parts of a node that take a pool; a simulated one has no more. */
type Taker = Pick<Node, 'taking' | 'clock' | 'isDraining'> &
  Partial<Reader> & { placing: Pick<Node['placing'], 'offer'>; arriving: Pick<Node['arriving'], 'enter'> };

export interface Taken {
  fence: PoolFence;
  tracker: TrackerRow;
  /** To be called when it is loaded, or is not to be: another one may be taken then. */
  arrived(): void;
}

/**
 * Reads the tracker, asks whether the pool is to be kept here, and takes the fence; waits out a short outage of the
 * database, and whoever has the pool locked, for as long as a shift would.
 * @returns the answer, where it is not to be kept here
 */
export async function take(
  { node, database, temporal }: { node: Taker; database: Database; temporal: Pick<TemporalLink, 'isCurrent'> },
  claim: PoolClaim,
  input: ShiftInput,
  isGivenUp = () => false,
): Promise<Taken | Exclude<Decision, { answer: 'take' }>> {
  const began = performance.now();
  let patienceMs = DEFAULT_PATIENCE_MS;
  let decision: Decision | undefined;
  let arrived: (() => void) | undefined;
  const mayTake = async (): Promise<void> => {
    arrived ??= await node.arriving.enter();
    if (isGivenUp()) throw failure(ErrorType.Declined, 'the pool has been given up');
  };
  for (;;) {
    try {
      const isCurrent = () => temporal.isCurrent(poolWorkflowId(claim.tracker, claim.pool), claim.runId);
      const inTurn = <T>(work: () => Promise<T>) => node.taking.run(work);
      const { tracker, seen, states } = await inTurn(() => database.transaction((db) => look(node, db, claim)));
      if (isGivenUp()) throw failure(ErrorType.Declined, 'the pool has been given up');
      if (!tracker) throw failure(ErrorType.UnknownTracker, `there is no tracker ${claim.tracker} in the database`);
      patienceMs = tracker.options.patienceMs ?? DEFAULT_PATIENCE_MS;
      // Asked once: who takes it counts it from then on. A tracker that is stopped has nothing to keep.
      if (tracker.state !== 'stopped') decision ??= node.placing.offer(tracker, seen, claim, input);
      if (decision && decision.answer !== 'take') return elsewhere(node, claim, decision, unread(node, claim, states));
      // Its keeper before may have written newer ones while the pool waited for its turn, unless there was none.
      const isRead = async (db: Queryable, { token }: PoolFence): Promise<void> => {
        const nobodyWrote = seen.keeper == null && token === seen.token + 1;
        const newest = nobodyWrote ? states : await statesOf(node, db, claim, tracker);
        const why = decision && unread(node, claim, newest);
        if (why === undefined) return;
        node.placed?.('declined', claim.tracker);
        throw unreadable(node, claim, why);
      };
      const fence = await takeFence(database, claim, isCurrent, node.clock, inTurn, mayTake, isRead);
      if (isGivenUp()) throw failure(ErrorType.Declined, 'the pool has been given up');
      return { tracker, fence, arrived: () => arrived?.() };
    } catch (error) {
      arrived?.();
      arrived = undefined;
      if (!isPassing(error) || node.isDraining || isGivenUp() || performance.now() - began > patienceMs) throw error;
      await sleep(TAKE_AGAIN_MS);
    }
  }
}

/** The pool as it is before anybody takes it. */
async function look(node: Taker, db: Queryable, claim: PoolClaim) {
  const tracker = await readTracker(db, claim.tracker);
  const seen = await seenFence(db, claim);
  const states = tracker ? await statesOf(node, db, claim, tracker) : new Map<number, number>();
  return { tracker, seen: { ...seen, states: newestOf(states) }, states };
}

/** @param why this node could not have kept it anyway. @throws Declined where that is so of all */
function elsewhere<D extends Exclude<Decision, { answer: 'take' }>>(
  node: Taker,
  claim: PoolClaim,
  decision: D,
  why: string | undefined,
): D {
  if (why === undefined) return decision;
  if (decision.answer === 'nobody') throw unreadable(node, claim, why);
  node.log?.info({ tracker: claim.tracker, pool: claim.pool, to: decision.to }, `hands the pool on: ${why}`);
  return decision;
}
