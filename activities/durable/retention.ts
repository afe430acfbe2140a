/**
 * Deletes what is kept no longer: tasks past their time, with their keys, and runs without tasks. In small batches, so that no
 * lock is held for long; every node does it, and passes over what another one is deleting. Started by `index.ts`.
 */
import type { Logger } from 'pino';
import type { Database } from '../store/database';
import { deleteExpired, deleteRuns } from './tasks';

export interface RetentionOptions {
  /** @default 500 */
  batch?: number;
  /** Rest between two batches. Milliseconds. @default 50 */
  pauseMs?: number;
  /** Rest between two passes. Milliseconds. @default 60,000 */
  everyMs?: number;
}

/** A run without tasks is kept this long after it was first seen. */
const RUN_KEEP_MS = 86_400_000;

/** Deletes all that is due. @returns the number of tasks. */
export async function deleteDue(database: Database, options: RetentionOptions = {}): Promise<number> {
  const { batch = 500, pauseMs = 50 } = options;
  let deleted = 0;
  for (;;) {
    const now = await deleteExpired(database, batch);
    deleted += now;
    if (now < batch) break;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  while ((await deleteRuns(database, batch, RUN_KEEP_MS)) === batch) {
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return deleted;
}

export function startRetention(database: Database, log: Logger, options: RetentionOptions = {}): { stop: () => void } {
  let running = false;
  const pass = async (): Promise<void> => {
    if (running) return;
    running = true;
    try {
      const deleted = await deleteDue(database, options);
      if (deleted > 0) log.debug({ deleted }, 'old results were deleted');
    } catch (error) {
      log.debug({ err: error }, 'old results could not be deleted; later');
    } finally {
      running = false;
    }
  };
  const timer = setInterval(() => void pass(), options.everyMs ?? 60_000);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
