/**
 * Deletes what is kept no longer: tasks past their time, with their keys, and runs without tasks. A result that a
 * workflow has a reference to is past its time when the workflow has ended, which Temporal is asked for. In small
 * batches, so that no lock is held for long; every node does it, and passes over what another one is deleting. Started
 * by `index.ts`.
 */
import type { Logger } from 'pino';
import type { Database } from '../lib/database';
import { Background } from '../lib/service';
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
    const more = await deleteExpired(database, batch);
    deleted += more;
    if (more < batch) break;
    await sleep(pauseMs);
  }
  while ((await deleteRuns(database, batch, RUN_KEEP_MS)) === batch) {
    await sleep(pauseMs);
  }
  return deleted;
}

/** Deletes what is due, pass by pass. */
export class Retention extends Background {
  private timer: NodeJS.Timeout | undefined;
  private running = false;

  constructor(
    private readonly database: Database,
    private readonly log: Logger,
    private readonly isRunning: Workflows['isRunning'],
    private readonly options: RetentionOptions = {},
  ) {
    super();
  }

  protected open(): Promise<void> {
    this.timer = setInterval(() => void this.pass(), this.options.everyMs ?? 60_000);
    this.timer.unref();
    return Promise.resolve();
  }

  protected close(): Promise<void> {
    clearInterval(this.timer);
    return Promise.resolve();
  }

  private async pass(): Promise<void> {
    if (this.running) return;
    this.running = true;
    try {
      const deleted = await deleteDue(this.database, this.isRunning, this.options);
      if (deleted > 0) this.log.debug({ deleted }, 'old results were deleted');
    } catch (error) {
      this.log.debug({ err: error }, 'old results could not be deleted; later');
    } finally {
      this.running = false;
    }
  }
}
