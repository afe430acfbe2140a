/**
 * Brings back what was lost with a Temporal server or terminated by hand: the workflow of each job that is not stopped. Started by
 * `workers/worker.ts`, on one node at a time, as the patrol of trackers is (`roster/wake.ts`).
 */
import type { Logger } from 'pino';
import { jobWorkflowId } from '../../workflows/population/contract';
import { errorOf } from '../failures';
import { run, type Database, type Statement } from '../store/database';
import { runningJobs } from '../store/jobs';
import type { TemporalLink } from '../temporal';

const PATROL_MS = 15_000;
const LOCK: Statement = {
  name: 'population-patrol-lock',
  text: `select pg_try_advisory_xact_lock(hashtext('longwatch job patrol')) as mine`,
};

/** Until `stop` is called: every quarter of a minute. */
export function startJobPatrol(database: Database, temporal: TemporalLink, log: Logger): { stop: () => Promise<void> } {
  let stopped = false;
  let going: Promise<void> = Promise.resolve();
  const round = async (): Promise<void> => {
    if (stopped) return;
    try {
      await patrolJobs(database, temporal, log);
    } catch (error) {
      log.debug({ err: errorOf(error) }, 'the patrol of jobs could not finish; it comes again');
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

export async function patrolJobs(database: Database, temporal: TemporalLink, log: Logger): Promise<void> {
  await database.transaction(async (db) => {
    const [lock] = await run<{ mine: boolean }>(db, LOCK);
    if (!lock?.mine) return;
    const jobs = await runningJobs(db);
    if (jobs.length === 0) return;
    const running = await temporal.runningWorkflows();
    for (const job of jobs) {
      if (!running.has(jobWorkflowId(job)) && (await temporal.wakeJob(job))) {
        log.warn({ job }, 'the job had no workflow; it was started again');
      }
    }
  });
}
