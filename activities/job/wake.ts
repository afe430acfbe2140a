/** A job's part of the patrol (`patrol.ts`): each job that is not stopped has its workflow. */
import type { Logger } from 'pino';
import { jobWorkflowId } from '../../workflows/job/contract';
import type { Database } from '../lib/database';
import { runningJobs } from './store/jobs';
import type { TemporalLink } from '../lib/temporal';

export async function wakeMissingJobs(
  database: Database,
  temporal: TemporalLink,
  running: ReadonlySet<string>,
  log: Logger,
): Promise<void> {
  for (const job of await database.transaction(runningJobs)) {
    if (!running.has(jobWorkflowId(job)) && (await temporal.wakeJob(job))) {
      log.warn({ job }, 'the job had no workflow; it was started again');
    }
  }
}
