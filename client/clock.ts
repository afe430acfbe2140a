/**
 * The clock by which all times of answers go: the database's, or that of the replica that lists are read from. Asked by
 * `Longwatch.now` and for the ranges of `series.ts`.
 */
import type { Statement } from '../activities/lib/database';
import { ms } from '../activities/lib/sql';
import type { Connections } from './connections';

const NOW: Statement = { name: 'client-now', text: `select ${ms('clock_timestamp()')} as now` };

/** Epoch milliseconds. */
export async function readNow(connections: Connections): Promise<number> {
  const [row] = await connections.read<{ now: number }>(NOW);
  return row!.now;
}
