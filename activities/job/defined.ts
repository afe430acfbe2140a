/**
 * A worker runs the SQL of its own config, and no other. The work of a job comes along with the start of its
 * workflow and lies in its row, so whoever may write to the Temporal namespace, or to that table, could have any
 * statement run with the worker's rights. Here it is compared, as a hash, with the definition of that name in the
 * config. Asked by `node.ts` when a job is opened or declared, by `pass.ts` before each pass.
 */
import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import type { ResolvedJob } from '../../config/define/job';
import { ErrorType } from '../../workflows/lib/errors';
import type { JobOptions } from '../../workflows/job/options';
import { failure } from '../lib/failures';
import type { Database } from '../lib/database';
import { checkJob } from './check';

/** Other workers may have the definition; when so many attempts have met none, that is said. */
const ATTEMPTS = 10;

export class DefinedJobs {
  private readonly hashes: ReadonlyMap<string, string>;

  constructor(jobs: readonly ResolvedJob[]) {
    this.hashes = new Map(jobs.map(({ name, options }) => [name, hashOf(options)]));
  }

  has(job: string, options: JobOptions): boolean {
    return this.hashes.get(job) === hashOf(options);
  }

  /**
   * Before the options of a start or a declaration are stored.
   * @throws BadOption with PostgreSQL's words where the SQL is wrong, which is only planned, read-only, to know that;
   *   BadOption where no worker has the definition; NotDefinedHere, which is tried again, where this one has not.
   */
  async expect(database: Database, job: string, options: JobOptions, node: string): Promise<void> {
    if (this.has(job, options)) return;
    await checkJob(database, options);
    if (attempt() >= ATTEMPTS) {
      throw failure(
        ErrorType.BadOption,
        `no worker that was asked has this definition of ${options.kind} '${job}' in its config: start workers with it first`,
      );
    }
    throw failure(ErrorType.NotDefinedHere, this.why(job, options, node), { nextRetryDelay: '1s' });
  }

  /** In a message: why this worker does not run it. */
  why(job: string, { kind }: Pick<JobOptions, 'kind'>, node: string): string {
    if (!this.hashes.has(job)) return `the config of node ${node} has no ${kind} ${job}`;
    return (
      `the config of node ${node} has another definition of ${kind} ${job} than the one that was started; ` +
      `hand it over with: npx longwatch start ${job} --update`
    );
  }
}

/** The hash of the work alone: its times and its pace are the operator's to change. */
function hashOf({ kind, work }: JobOptions): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted({ kind, work })))
    .digest('hex');
}

/** PostgreSQL's jsonb has its own order of keys. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]);
}

function attempt(): number {
  try {
    return Context.current().info.attempt;
  } catch {
    // Called outside of an activity.
    return 1;
  }
}
