/**
 * How a pool comes to its node: its shift asks the node whether it is to be kept there (`placing.ts`), waits for its
 * turn, and takes the fence. Called by `keep.ts`, which loads the pool and keeps it.
 */
import { performance } from 'node:perf_hooks';
import { ErrorType } from '../../../workflows/lib/errors';
import { poolWorkflowId, type ShiftInput } from '../../../workflows/tracker/contract';
import { failure } from '../../lib/failures';
import type { Database } from '../../lib/database';
import { sleep } from '../../lib/sleep';
import { isPassing } from '../../lib/sqlstate';
import type { TemporalLink } from '../../lib/temporal';
import type { Decision } from '../placement/take';
import { seenFence, takeFence, type PoolClaim, type PoolFence } from '../store/fence';
import { readTracker, type TrackerRow } from '../store/trackers';
import { DEFAULT_PATIENCE_MS } from './end-watch';
import type { Node } from './node';
import { leaveToOthers, unreadableHere, type Reader } from './readable';

/** Between two tries to take a pool that somebody has locked, or of a database that is away. Milliseconds. */
const TAKE_AGAIN_MS = 250;

/** The parts of a node that take a pool; a simulated one has no more. */
type Taker = Pick<Node, 'taking' | 'arriving' | 'clock' | 'isDraining'> &
  Partial<Reader> & { placing: Pick<Node['placing'], 'offer'> & Partial<Pick<Node['placing'], 'handOn'>> };

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
      if (isGivenUp()) throw failure(ErrorType.Declined, 'the pool has been given up');
      if (unread) return leaveToOthers(node, claim, { tracker, seen }, unread);
      const fence = await takeFence(database, claim, isCurrent, node.clock, inTurn, mayTake);
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
