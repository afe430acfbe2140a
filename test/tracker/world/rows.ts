/**
 * Rows of the simulated store (`store.ts`), as the statements see them. Times are the database's, epoch milliseconds.
 */

export interface PoolRow {
  token: number;
  runId: string | null;
  shift: number;
  attempt: number;
  rosterVersion: number;
  reloadVersion: number;
  node: string | null;
  takenAt: number | null;
}
export interface Member {
  key: number;
  id: string;
  rosterVersion: number;
  removed: boolean;
  addedAt: number;
}
export interface ValueRow {
  value: string | null;
  etag: string | null;
  fetchedAt: number | null;
  expiresAt: number | null;
  changedAt: number | null;
  failures: number;
  failedAt: number | null;
  heldUntil: number | null;
  error: string | null;
}
/** The entries that a buffer was given. */
export interface Fed {
  operation: string;
  id: string;
  value: string;
}
