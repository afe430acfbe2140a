/**
 * Mends what was terminated by hand or lost with a Temporal server: every quarter of a minute one node compares what should run
 * with what does, and starts what is missing of trackers, buffers and jobs. Started by `workers/worker.ts` on each node.
 */
import type { Logger } from 'pino';
import { wakeMissingBuffers } from './buffer/wake';
import { errorOf } from './failures';
import { wakeMissingJobs } from './population/wake';
import { wakeMissingPools } from './roster/wake';
import { run, type Database, type Statement } from './store/database';
import type { TemporalLink } from './temporal';

const PATROL_MS = 15_000;
/** One node at a time patrols; the lock ends with the transaction. */
const LOCK: Statement = {
  name: 'patrol-lock',
  text: `select pg_try_advisory_xact_lock(hashtext('longwatch patrol')) as mine`,
};
const PARTS = [wakeMissingPools, wakeMissingBuffers, wakeMissingJobs];

/** Until `stop` is called. */
export function startPatrol(database: Database, temporal: TemporalLink, log: Logger): { stop: () => Promise<void> } {
  let stopped = false;
  let going: Promise<void> = Promise.resolve();
  const round = async (): Promise<void> => {
    if (stopped) return;
    try {
      await database.transaction(async (db) => {
        const [lock] = await run<{ mine: boolean }>(db, LOCK);
        if (lock?.mine) await patrol(database, temporal, log);
      });
    } catch (error) {
      log.debug({ err: errorOf(error) }, 'the patrol could not finish; it comes again');
    }
  };
  const timer = setInterval(() => {
    going = going.then(round);
  }, PATROL_MS);
  return {
    stop: async () => {
      stopped = true;
      clearInterval(timer);
      await going;
    },
  };
}

/** One round. A part that fails keeps none of the others from being mended; then the round fails with its error. */
export async function patrol(database: Database, temporal: TemporalLink, log: Logger): Promise<void> {
  const running = await temporal.runningWorkflows();
  const failures: unknown[] = [];
  for (const part of PARTS) {
    await part(database, temporal, running, log).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}
