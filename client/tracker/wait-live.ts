/**
 * Waits until live nodes keep the pools of ids that were added, for `add` with `wait: 'live'`: a message to one of them
 * is handled from then on without waiting for a node. Called by `roster.ts` when they are in the database.
 */
import type { Statement } from '../../activities/lib/database';
import { sleep } from '../../activities/lib/sleep';
import { NODE_GONE } from '../../activities/tracker/store/node-lives';
import { NOTIFY_CHANNEL, type RunState } from '../../workflows/lib/contract';
import { poolOf } from '../../workflows/tracker/plan';
import type { Connections } from '../connections';
import { NoWorkerError, TimedOutError } from '../errors';

const LOOK_MS = 100;

/** Their places are those of their rows: this process may not know the route of the tracker that has placed them. */
const HASHES: Statement = {
  name: 'client-member-hashes',
  text: `select distinct hash::float8 as hash
         from longwatch.member where tracker = $1 and id = any($2::text[]) and removed_at is null`,
};

/** As the views of migration 0022 say it. */
const KEPT: Statement = {
  name: 'client-live-pools',
  text: `select t.state, t.pools,
                array(select p.pool from longwatch.pool p join longwatch.node n on n.name = p.node
                      where p.tracker = t.name and p.released_at is null and p.quarantined_at is null
                        and n.ended_at is null and n.seen_at >= clock_timestamp() - ${NODE_GONE}) as kept
         from longwatch.tracker t where t.name = $1`,
};

interface Kept {
  [column: string]: unknown;
  state: RunState;
  pools: number;
  kept: number[];
}

/**
 * A tracker that is paused or stopped is not waited for: nodes keep nothing of it.
 * @throws NoWorkerError, TimedOutError; the ids are in the database
 */
export async function waitLive(
  connections: Pick<Connections, 'rows' | 'listen' | 'workersPoll'>,
  tracker: string,
  ids: readonly string[],
  { waitTimeoutMs = 60_000 }: { waitTimeoutMs?: number },
): Promise<void> {
  const placed = await connections.rows<{ hash: number }>(HASHES, [tracker, ids]);
  let deadline = Date.now() + waitTimeoutMs;
  let least = Infinity;
  let wake: () => void = () => undefined;
  const stopListening = await connections.listen(NOTIFY_CHANNEL, () => wake());
  try {
    for (;;) {
      const announced = new Promise<void>((resolve) => (wake = resolve));
      const [row] = await connections.rows<Kept>(KEPT, [tracker]);
      if (row?.state !== 'running') return;
      const kept = new Set(row.kept);
      const left = new Set(placed.map(({ hash }) => poolOf(hash, row.pools)).filter((pool) => !kept.has(pool))).size;
      if (left === 0) return;
      if (left < least) deadline = Date.now() + waitTimeoutMs;
      least = Math.min(least, left);
      if (Date.now() > deadline) await giveUp(connections, tracker, left, waitTimeoutMs);
      await Promise.race([announced, sleep(LOOK_MS)]);
    }
  } finally {
    await stopListening();
  }
}

async function giveUp(
  connections: Pick<Connections, 'workersPoll'>,
  tracker: string,
  left: number,
  limit: number,
): Promise<never> {
  const what = `all ids are in the database, and ${left} of their pools have been without a live node for ${Math.round(limit / 1_000)} s`;
  if (!(await connections.workersPoll().catch(() => true))) throw new NoWorkerError(what);
  throw new TimedOutError(`${what}; see: npx longwatch pools ${tracker}`);
}
