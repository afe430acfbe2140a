/**
 * Counts the members of pools anew and mends what their rows say. A split only halves the number (`layout.ts`), so the
 * pools that it touched are counted after it; and on each patrol (`wake.ts`) one pool of each tracker, whose number
 * should have been right.
 */
import type { Database } from '../../lib/database';
import { recountNext, type Recounted } from '../store/pools';

/** A pool whose members change all the time is left to the patrol after so many tries in a row. */
const TRIES = 5;

export async function recountHalved(database: Database, tracker: string, progress: () => void): Promise<void> {
  for (let vain = 0; vain < TRIES; progress()) {
    const counted = await database.transaction((db) => recountNext(db, tracker, true));
    if (counted === undefined) return;
    vain = counted === 'changed' ? vain + 1 : 0;
  }
}

/** One pool, whichever was counted longest ago. @returns what it was, where that was wrong */
export async function recountOne(database: Database, tracker: string): Promise<Recounted | undefined> {
  const counted = await database.transaction((db) => recountNext(db, tracker, false));
  return counted !== undefined && counted !== 'changed' && counted.wrong ? counted : undefined;
}
