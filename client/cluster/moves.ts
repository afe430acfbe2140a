/**
 * Pools on their way from node to node, by hand: each pool's workflow is told where its next shift should be, and the
 * fence says who has taken it. Not more at once than placement itself has in flight. Called by `move.ts` and
 * `rebalance.ts`.
 */
import { sleep } from '../../activities/lib/sleep';
import { PLACEMENT } from '../../activities/tracker/placement/constants';
import { idOf } from '../../activities/tracker/placement/types';
import { moveSignal, poolWorkflowId } from '../../workflows/tracker/contract';
import type { Connections } from '../connections';
import { temporalCommon } from '../temporal-client';
import { FENCES } from './queries';

const LOOK_MS = 100;
/** A running shift waits for its runs before it ends; then the pool is taken in tenths of a second. */
const TAKEN_MS = 15_000;

export interface PoolMove {
  readonly tracker: string;
  readonly pool: number;
  readonly from: string;
  readonly to: string;
}

export interface FailedMove extends PoolMove {
  /** In words. */
  readonly why: string;
}

export interface Moved {
  /** Pools that the new node has taken. */
  moved: number;
  failed: FailedMove[];
}

export interface MovesOptions {
  /** Sends no more; those on their way go on. */
  signal?: AbortSignal;
  onProgress?: (done: number, of: number) => void;
}

interface Fence {
  [column: string]: unknown;
  tracker: string;
  pool: number;
  /** The shift that has taken it last. */
  claim: string;
  node: string | null;
  held: boolean;
}

interface Flight {
  move: PoolMove;
  claim: string;
  until: number;
}

export async function carryOut(
  connections: Connections,
  moves: readonly PoolMove[],
  { signal, onProgress }: MovesOptions = {},
): Promise<Moved> {
  const waiting = [...moves];
  let flights: Flight[] = [];
  const result: Moved = { moved: 0, failed: [] };
  while (flights.length > 0 || waiting.length > 0) {
    if (signal?.aborted) for (const move of waiting.splice(0)) fail(result, move, 'it was not sent: interrupted');
    const next = waiting.splice(0, PLACEMENT.poolsInFlight - flights.length);
    const fences = await readFences(connections, [...flights.map(({ move }) => move), ...next]);
    flights = flights.filter((flight) => isOnItsWay(flight, fences.get(idOf(flight.move)), result));
    const sent = await Promise.all(next.map((move) => send(connections, move, fences.get(idOf(move)), result)));
    flights.push(...sent.filter((flight) => flight !== undefined));
    onProgress?.(result.moved + result.failed.length, moves.length);
    if (flights.length > 0) await sleep(LOOK_MS);
  }
  return result;
}

async function send(
  connections: Connections,
  move: PoolMove,
  fence: Fence | undefined,
  result: Moved,
): Promise<Flight | undefined> {
  if (fence?.held && fence.node === move.to) {
    // Nodes balance by themselves meanwhile.
    result.moved++;
    return undefined;
  }
  if (!fence?.held || fence.node !== move.from) {
    fail(result, move, fence?.held ? `node '${fence.node}' has it by now` : 'no node has it at the moment');
    return undefined;
  }
  try {
    await connections.temporal((client) =>
      client.workflow.getHandle(poolWorkflowId(move.tracker, move.pool)).signal(moveSignal, { to: move.to }),
    );
  } catch (error) {
    if (!(error instanceof temporalCommon().WorkflowNotFoundError)) throw error;
    fail(result, move, 'its workflow does not run');
    return undefined;
  }
  return { move, claim: fence.claim, until: performance.now() + TAKEN_MS };
}

/** False: it has arrived, somewhere or nowhere. */
function isOnItsWay({ move, claim, until }: Flight, fence: Fence | undefined, result: Moved): boolean {
  if (fence && fence.held && fence.claim !== claim) {
    if (fence.node === move.to) result.moved++;
    else fail(result, move, `node '${fence.node}' has taken it instead`);
    return false;
  }
  if (performance.now() < until) return true;
  const seconds = TAKEN_MS / 1_000;
  fail(
    result,
    move,
    fence?.held
      ? `'${move.from}' has not given it away in ${seconds} s: runs that are under way end first`
      : `no node has taken it in ${seconds} s`,
  );
  return false;
}

const fail = (result: Moved, move: PoolMove, why: string): void => void result.failed.push({ ...move, why });

async function readFences(connections: Connections, moves: readonly PoolMove[]): Promise<Map<string, Fence>> {
  const rows = await connections.rows<Fence>(FENCES, [
    moves.map(({ tracker }) => tracker),
    moves.map(({ pool }) => pool),
  ]);
  return new Map(rows.map((row) => [idOf(row), row]));
}
