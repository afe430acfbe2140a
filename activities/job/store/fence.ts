/**
 * The fence of a job: only the holder of its token advances rows. A pass takes it before its first statement
 * (`pass.ts`). The token is copied to the rows of progress, and a chunk writes its progress row as the last statement
 * of its transaction (`rows.ts`): taking waits for a chunk that has come that far, and every other one of the older
 * holder finds another token and is rolled back. So no chunk needs a lock on the job itself, and chunks do not wait for
 * each other.
 */
import { ErrorType } from '../../../workflows/lib/errors';
import { failure } from '../../lib/failures';
import { run, type Database, type Statement } from '../../lib/database';

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
  for (let tries = 0; tries < 3; tries++) {
    const [holder] = await database.rows<{ run_id: string | null }>(HOLDER, [claim.job]);
    if (!holder) throw failure(ErrorType.UnknownJob, `there is no job ${claim.job} in the database`);
    const other = holder.run_id !== null && holder.run_id !== claim.runId ? holder.run_id : null;
    if (other !== null && !(await isCurrent())) {
      throw failure(ErrorType.JobNotCurrent, `run ${claim.runId} is not the current one of job ${claim.job}`);
    }
    const token = await database.transaction(async (db) => {
      const [taken] = await run<{ token: number }>(db, TAKE, [
        claim.job,
        claim.runId,
        claim.pass,
        claim.attempt,
        claim.node,
        other,
      ]);
      // Twice: the first one waits for chunks that are about to commit, and does not see the parts that these have made
      // (rows put off).
      if (taken) await run(db, COPY, [claim.job, taken.token]);
      if (taken) await run(db, COPY, [claim.job, taken.token]);
      return taken?.token;
    });
    if (token !== undefined) return token;
    // No row: either ours is the older claim, or the holder changed in between and is looked at again.
    if (other === null) break;
  }
  throw failure(
    ErrorType.Fenced,
    `job ${claim.job} has a newer holder than pass ${claim.pass}, attempt ${claim.attempt}`,
  );
}
