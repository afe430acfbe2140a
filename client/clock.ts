/**
 * The clock by which all times of answers go: the database's, or that of the replica that lists are read from. Asked by
 * `Longwatch.now` and for the ranges of `series.ts`.
 */
import type { Statement } from '../activities/lib/database';
import { ms } from '../activities/lib/sql';
import type { Connections } from './connections';

const NOW: Statement = { name: 'client-now', text: `select ${ms('clock_timestamp()')} as now` };

/**
 * @param written of the database that is written to, where lists come from a replica
 * @returns epoch milliseconds
 */
export async function readNow(connections: Connections, written = false): Promise<number> {
  const [row] = await (written ? connections.rows<{ now: number }>(NOW) : connections.read<{ now: number }>(NOW));
  return row!.now;
}
