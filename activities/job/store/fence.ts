/**
 * The fence of a job: only the holder of its token advances rows. A pass takes it before its first statement
 * (`pass.ts`). The token is copied to the rows of progress, and a chunk writes its progress row as the last statement
 * of its transaction (`rows.ts`): taking waits for a chunk that has come that far, and every other one of the older
 * holder finds another token and is rolled back. So no chunk needs a lock on the job itself, and chunks do not wait for
 * each other.
 */
import { ErrorType } from '../../../workflows/lib/errors';
import { failure } from '../../lib/failures';
import { run, type Database, type Queryable, type Statement } from '../../lib/database';
import { takeOver } from '../../lib/take-over';

/** The pass that wants the fence. Within one run only a greater (pass, attempt) may have it. */
interface JobClaim {
  job: string;
  runId: string;
  pass: number;
  attempt: number;
  node: string;
}

const HOLDER: Statement = { name: 'job-fence-holder', text: `select run_id from longwatch.job where name = $1` };
/** $6 is the run that Temporal has declared over by saying that ours is the current one; null: none. */
const TAKE: Statement = {
  name: 'job-fence-take',
  text: `update longwatch.job
         set token = token + 1, run_id = $2, pass = $3, attempt = $4, node = $5, taken_at = now()
         where name = $1
           and (run_id is null
             or (run_id = $2 and (pass, attempt) < ($3, $4))
             or (run_id <> $2 and run_id = $6))
         returning token::float8 as token`,
};
const COPY: Statement = {
  name: 'job-fence-copy',
  text: `update longwatch.tick_range set token = $2 where job = $1 and token <> $2`,
};

/**
 * Takes the fence, or throws Fenced. `isCurrent` asks Temporal whether the claim's run is the current one of its
 * workflow; it is only called when the holder is of another run, whose numbers say nothing.
 */
export async function takeJobFence(
  database: Database,
  claim: JobClaim,
  isCurrent: () => Promise<boolean>,
): Promise<number> {
  const taken = await takeOver({
    runId: claim.runId,
    holder: async () => {
      const [row] = await database.rows<{ run_id: string | null }>(HOLDER, [claim.job]);
      if (!row) throw failure(ErrorType.UnknownJob, `there is no job ${claim.job} in the database`);
      return row.run_id;
    },
    isCurrent,
    take: (other) => database.transaction((db) => take(db, claim, other)),
  });
  if (taken === 'over') {
    throw failure(ErrorType.JobNotCurrent, `run ${claim.runId} is not the current one of job ${claim.job}`);
  }
  if (taken !== 'older') return taken.fence;
  throw failure(
    ErrorType.Fenced,
    `job ${claim.job} has a newer holder than pass ${claim.pass}, attempt ${claim.attempt}`,
  );
}

async function take(db: Queryable, claim: JobClaim, other: string | null): Promise<number | undefined> {
  const values = [claim.job, claim.runId, claim.pass, claim.attempt, claim.node, other];
  const [taken] = await run<{ token: number }>(db, TAKE, values);
  if (!taken) return undefined;
  // Twice: the first one waits for chunks that are about to commit, and does not see the parts that these have made
  // (rows put off).
  await run(db, COPY, [claim.job, taken.token]);
  await run(db, COPY, [claim.job, taken.token]);
  return taken.token;
}
