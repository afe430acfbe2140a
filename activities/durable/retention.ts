/**
 * Deletes what is kept no longer: tasks past their time, with their keys, and runs without tasks. A result that a
 * workflow has a reference to is past its time when the workflow has ended, which Temporal is asked for. In small
 * batches, so that no lock is held for long; every node does it, and passes over what another one is deleting. Started
 * by `index.ts`.
 */
import type { Logger } from 'pino';
import type { Database } from '../lib/database';
import type { Workflows } from './call';
import { deleteExpired, deleteRuns, holders, holdOn } from './store/expired';
import { DAY_MS } from '../../config/values';
import { sleep } from '../lib/sleep';

export interface RetentionOptions {
  /** @default 500 */
  batch?: number;
  /** Rest between two batches. Milliseconds. @default 50 */
  pauseMs?: number;
  /** Rest between two passes. Milliseconds. @default 60,000 */
  everyMs?: number;
}

/** How often it is looked whether a workflow that has references still runs. */
const HOLD_MS = 3_600_000;
/** Workflows of one pass. */
const HOLDERS = 200;
/** A run without tasks is kept this long after it was first seen. */
const RUN_KEEP_MS = DAY_MS;

/** Deletes all that is due. @returns the number of tasks. */
export async function deleteDue(
  database: Database,
  isRunning: Workflows['isRunning'],
  options: RetentionOptions = {},
): Promise<number> {
  const { batch = 500, pauseMs = 50 } = options;
  for (const workflowId of await holders(database, HOLDERS)) {
    // If Temporal does not answer, nothing is let go.
    await holdOn(database, workflowId, await isRunning(workflowId), HOLD_MS);
  }
  let deleted = 0;
  for (;;) {
    const now = await deleteExpired(database, batch);
    deleted += now;
    if (now < batch) break;
    await sleep(pauseMs);
  }
  while ((await deleteRuns(database, batch, RUN_KEEP_MS)) === batch) {
    await sleep(pauseMs);
  }
  return deleted;
}

export function startRetention(
  database: Database,
  log: Logger,
  isRunning: Workflows['isRunning'],
  options: RetentionOptions = {},
): { stop: () => void } {
  let running = false;
  const pass = async (): Promise<void> => {
    if (running) return;
    running = true;
    try {
      const deleted = await deleteDue(database, isRunning, options);
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
