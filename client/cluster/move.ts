/** One pool to one node, by hand. Called by `TrackerHandle.move`; `moves.ts` carries it out. */
import { didYouMean } from '../../config/suggest';
import { canRead, newestRead } from '../../activities/tracker/placement/nodes';
import { readRow } from '../../activities/tracker/placement/row';
import { trackerOf } from '../../activities/tracker/placement/types';
import { slotsOf } from '../../workflows/tracker/slots';
import { announced } from '../audit';
import type { Connections } from '../connections';
import { RefusedError, TimedOutError, UnknownNodeError } from '../errors';
import { carryOut } from './moves';
import { isDrainedFor, readNodes, type NodeReport, type NodeRow } from './nodes';
import { FENCES, NEWEST_STATE, NODES } from './queries';

export interface MoveResult {
  tracker: string;
  pool: number;
  from: string;
  to: string;
  /** False: it was there already. */
  changed: boolean;
}

/** A pool of a tracker that has so many. */
interface MovedPool {
  tracker: string;
  pool: number;
  pools: number;
  /** Its members receive, by its options in force. */
  receives: boolean;
}

/** @throws UnknownNodeError; RefusedError where that node would not keep it; TimedOutError, with what became of it */
export async function movePool(
  connections: Connections,
  moved: MovedPool,
  to: string,
  why?: string,
): Promise<MoveResult> {
  const { tracker, pool } = moved;
  const { nodes } = await readNodes(connections);
  const node = nodes.find(({ name }) => name === to);
  if (!node) {
    const names = nodes.filter(({ alive }) => alive).map(({ name }) => name);
    throw new UnknownNodeError(to, didYouMean(to, names), names);
  }
  const [fence] = await connections.rows<{ node: string | null; held: boolean }>(FENCES, [[tracker], [pool]]);
  if (!fence?.held || fence.node === null) {
    throw new RefusedError(
      `no node keeps pool ${pool} of ${tracker} at the moment, so it cannot be moved; see: npx longwatch pools ${tracker}`,
    );
  }
  const from = fence.node;
  if (from === to) return { tracker, pool, from, to, changed: false };
  const refusal = whyNot(node, tracker) ?? (await whyUnread(connections, moved, to));
  if (refusal !== undefined)
    throw new RefusedError(`node '${to}' would not keep pool ${pool} of ${tracker}: ${refusal}`);
  const command = {
    what: 'move',
    subject: `pool/${tracker}/${pool}`,
    before: { node: from },
    after: { node: to },
    why,
  };
  return announced(connections, command, async () => {
    const { failed } = await carryOut(connections, [{ tracker, pool, from, to }]);
    if (failed[0]) throw new TimedOutError(`pool ${pool} of ${tracker} is not on '${to}': ${failed[0].why}`);
    return { result: { tracker, pool, from, to, changed: true } };
  });
}

function whyNot(node: NodeReport, tracker: string): string | undefined {
  const { name, alive, drained, keeps, target, pools } = node;
  if (!alive) return 'it is not heard of';
  if (drained) return `it is drained (npx longwatch node resume ${name})`;
  if (isDrainedFor(node, tracker))
    return `it is drained for ${tracker} (npx longwatch node resume ${name} --tracker ${tracker})`;
  if (keeps && !keeps.some((kind) => trackerOf(kind) === tracker)) {
    return 'its config does not have that tracker, or it has not the label';
  }
  if (target !== null && pools >= target)
    return `it is at its target of ${target} (npx longwatch node target ${name} ${pools + 1})`;
  return undefined;
}

/**
 * Placement would not leave the pool there: the states of its members are newer than the code of that node. States that
 * nothing receives any more are nobody's concern, as in `activities/tracker/shift/readable.ts`.
 */
async function whyUnread(
  connections: Connections,
  { tracker, pool, pools, receives }: MovedPool,
  to: string,
): Promise<string | undefined> {
  const { first, last } = slotsOf(pool, pools);
  const [[row], [states]] = await Promise.all([
    connections.rows<NodeRow>(NODES, [to]),
    connections.rows<{ newest: number | null }>(NEWEST_STATE, [tracker, first, last]),
  ]);
  const reads = row && readRow(row.placement, row.seen_at)?.reads;
  const newest = states?.newest ?? 0;
  if (canRead({ reads }, { kind: tracker, states: newest }) !== false) return undefined;
  const most = newestRead(reads, tracker);
  if (most === undefined && !receives) return undefined;
  return most === undefined
    ? 'its config has no receive for the members of that tracker, and they have states'
    : `its code cannot read the states of the pool's members: the newest one has version ${newest}, and it reads up to ${most}; roll out the newer code there`;
}
