/**
 * The rows of durable activities: every statement on `longwatch.task` and `idempotency`, with types. Called by `execute.ts`
 * (take, settle), `leases.ts` (renew) and `retention.ts`. Leases, expiry and attempts go by the database's clock; no time of
 * the worker's is ever sent.
 */
import { run, type Database, type Queryable, type Statement } from '../store/database';

/** One execution of one activity, as Temporal names it, and how it wants to be run. */
export interface TaskSpec {
  /** Run id and activity id. */
  task: string;
  activity: string;
  kind: 'activity' | 'compensation';
  workflowId: string;
  runId: string;
  ttlMs: number;
  attempts: number;
  resource: string | null;
  key: { text: string; hash: Buffer } | null;
  keepFailure: boolean;
  retentionMs: number;
  /** Kept with a compensation, for who has to mend it. */
  details: { saga: string; target: string; taskQueue: string; input: unknown } | null;
}

/** Who holds a task, and by what a write is compared. */
export interface Claim {
  spec: TaskSpec;
  owner: string;
  /** How often the task was taken: the fence. */
  attempt: number;
  /** Attempts used, this one included: what people are shown. */
  used: number;
  /** Of the run. */
  token: number;
}

/** An error as it is stored. */
export interface StoredError {
  type: string;
  message: string;
}

export type Taken =
  | { outcome: 'run'; claim: Claim; lastError: StoredError | null }
  /** A stored result, of this task or of another one with the same key. */
  | { outcome: 'done'; source: string; result: unknown }
  /** It failed for good before, and the failure is kept. */
  | { outcome: 'failed'; source: string; error: StoredError }
  | { outcome: 'exhausted'; used: number; error: StoredError }
  | { outcome: 'held' | 'resource_held' | 'key_held'; owner: string | null; waitMs: number }
  /** The row is of another run; it may be taken over when Temporal says that it is over. */
  | { outcome: 'run_mismatch'; holder: string }
  | { outcome: 'run_not_active' | 'discarded' };

export type SettleTo = 'completed' | 'waiting' | 'failed' | 'discarded';

export interface Settlement {
  to: SettleTo;
  /** JSON text. */
  result?: string;
  error?: StoredError;
  retryMs?: number;
  /** The attempt does not count. */
  unused?: boolean;
  /** Only the claim itself is compared: to give up what the fence has refused. */
  lenient?: boolean;
}

const TAKE: Statement = {
  name: 'task-take',
  text: `select * from longwatch.take_task($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
};
const SETTLE: Statement = {
  name: 'task-settle',
  text: `select * from longwatch.settle_task($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
};
/** One statement for all leases of a node; what it does not find again is a lost lease, with its reason. */
const RENEW: Statement = {
  name: 'task-renew',
  text: `with held as (
           select * from unnest($2::text[], $3::int[], $4::float8[]) as h (task, attempt, ttl)
         ), renewed as (
           update longwatch.task t set lease_expires_at = clock_timestamp() + held.ttl * interval '1 millisecond'
           from held
           where t.task = held.task and t.attempt = held.attempt and t.state = 'leased' and t.owner = $1
           returning t.task
         )
         select held.task,
                case when t.task is null then 'not_found' when t.state <> 'leased' then 'not_leased'
                     when t.owner is distinct from $1 then 'owner_mismatch' else 'attempt_mismatch' end as reason
         from held left join longwatch.task t on t.task = held.task
         where not exists (select from renewed where renewed.task = held.task)`,
};
/** The lease was lost before the code had started, so the attempt was not used, whoever has the task now. */
const NOT_STARTED: Statement = {
  name: 'task-not-started',
  text: `update longwatch.task set unused = unused + 1 where task = $1`,
};
const RESULT: Statement = {
  name: 'task-result',
  text: `select task, result from longwatch.task where task = any($1::text[]) and state in ('completed', 'resolved')`,
};
const END_RUN: Statement = {
  name: 'task-end-run',
  text: `update longwatch.task_run set state = 'ended' where workflow_id = $1 and run_id = $2`,
};
/** Small batches, so that no lock is held for long; the key goes with the task that has it. */
const DELETE_EXPIRED: Statement = {
  name: 'task-delete-expired',
  text: `with gone as (
           delete from longwatch.task where task in (
             select task from longwatch.task where expires_at < now() order by expires_at limit $1 for update skip locked
           ) returning task, activity, key_hash
         ), keys as (
           delete from longwatch.idempotency i using gone g
           where i.activity = g.activity and i.key_hash = g.key_hash and i.task = g.task
         )
         select count(*)::int as deleted from gone`,
};
const DELETE_RUNS: Statement = {
  name: 'task-delete-runs',
  text: `with old as (
           select r.workflow_id from longwatch.task_run r
           where r.seen_at < now() - $2::float8 * interval '1 millisecond'
             and not exists (select from longwatch.task t where t.run_id = r.run_id and t.workflow_id = r.workflow_id)
           limit $1 for update skip locked
         ), gone as (
           delete from longwatch.task_run r using old where r.workflow_id = old.workflow_id returning 1
         )
         select count(*)::int as deleted from gone`,
};

interface TakeRow {
  outcome: Taken['outcome'];
  source: string | null;
  o_attempt: number;
  o_used: number;
  o_token: number;
  o_owner: string | null;
  wait_ms: number | null;
  o_result: unknown;
  o_error: StoredError | null;
  o_run: string | null;
}

/** @param endedRun the run in the row that Temporal has declared over, by saying that ours is the current one. */
export async function takeTask(
  database: Database,
  spec: TaskSpec,
  owner: string,
  endedRun: string | null = null,
): Promise<Taken> {
  const [row] = await database.rows<TakeRow>(TAKE, [
    spec.task,
    spec.activity,
    spec.kind,
    spec.workflowId,
    spec.runId,
    endedRun,
    owner,
    spec.ttlMs,
    spec.attempts,
    spec.resource,
    spec.key?.text ?? null,
    spec.key?.hash ?? null,
    spec.keepFailure,
    spec.retentionMs,
    spec.details === null ? null : JSON.stringify(spec.details),
  ]);
  const taken = row!;
  const error = taken.o_error ?? { type: 'Error', message: 'unknown' };
  switch (taken.outcome) {
    case 'run': {
      const claim = { spec, owner, attempt: taken.o_attempt, used: taken.o_used, token: taken.o_token };
      return { outcome: 'run', claim, lastError: taken.o_error };
    }
    case 'done':
      return { outcome: 'done', source: taken.source!, result: taken.o_result };
    case 'failed':
      return { outcome: 'failed', source: taken.source!, error };
    case 'exhausted':
      return { outcome: 'exhausted', used: taken.o_used, error };
    case 'held':
    case 'resource_held':
    case 'key_held':
      return { outcome: taken.outcome, owner: taken.o_owner, waitMs: Math.ceil(taken.wait_ms ?? 0) };
    case 'run_mismatch':
      return { outcome: 'run_mismatch', holder: taken.o_run! };
    default:
      return { outcome: taken.outcome };
  }
}

/** @returns the reason of a refusal, and when the next attempt is due (epoch milliseconds of the database). */
export async function settleTask(
  db: Queryable | Database,
  claim: Claim,
  { to, result, error, retryMs, unused, lenient }: Settlement,
): Promise<{ reason: string | null; retryAtMs: number | null }> {
  const { spec } = claim;
  const values = [
    spec.task,
    spec.activity,
    spec.workflowId,
    spec.runId,
    claim.owner,
    claim.attempt,
    claim.token,
    to,
    result ?? null,
    error === undefined ? null : JSON.stringify(error),
    retryMs ?? 0,
    spec.key?.hash ?? null,
    spec.keepFailure,
    spec.retentionMs,
    unused ?? false,
    lenient !== true,
  ];
  type Row = { reason: string | null; retry_at_ms: number | null };
  const rows = 'rows' in db ? await db.rows<Row>(SETTLE, values) : await run<Row>(db, SETTLE, values);
  return { reason: rows[0]!.reason, retryAtMs: rows[0]!.retry_at_ms };
}

/** Renews all of them in one statement. @returns the lost ones, each with its reason. */
export async function renewTasks(database: Database, owner: string, claims: Claim[]): Promise<Map<string, string>> {
  const lost = await database.rows<{ task: string; reason: string }>(RENEW, [
    owner,
    claims.map((claim) => claim.spec.task),
    claims.map((claim) => claim.attempt),
    claims.map((claim) => claim.spec.ttlMs),
  ]);
  return new Map(lost.map(({ task, reason }) => [task, reason]));
}

export async function attemptNotStarted(database: Database, task: string): Promise<void> {
  await database.rows(NOT_STARTED, [task]);
}

/** Results by task; what is not there any more is missing. */
export async function resultsOf(database: Database, tasks: string[]): Promise<Map<string, unknown>> {
  const rows = await database.rows<{ task: string; result: unknown }>(RESULT, [tasks]);
  return new Map(rows.map(({ task, result }) => [task, result]));
}

/** Nothing of this run may write any more. */
export async function endRun(database: Database, workflowId: string, runId: string): Promise<void> {
  await database.rows(END_RUN, [workflowId, runId]);
}

/** @returns how many tasks were deleted; fewer than `limit`: there are no more. */
export async function deleteExpired(database: Database, limit: number): Promise<number> {
  return (await database.rows<{ deleted: number }>(DELETE_EXPIRED, [limit]))[0]!.deleted;
}

/** Runs that have no task left. */
export async function deleteRuns(database: Database, limit: number, olderThanMs: number): Promise<number> {
  return (await database.rows<{ deleted: number }>(DELETE_RUNS, [limit, olderThanMs]))[0]!.deleted;
}
