/**
 * The rows of durable activities while they are worked on: they are taken, renewed and settled. Called by `acquire.ts`,
 * `execute.ts`, `leases.ts` and `references.ts`; `expired.ts` has the statements that delete. Leases, expiry and
 * attempts go by the database's clock; no time of the worker's is ever sent.
 */
import { randomUUID } from 'node:crypto';
import { run, type Database, type Queryable, type Statement } from '../../lib/database';

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
  /** The hash of what is asked for with the key; null: it is not compared. */
  fingerprint: Buffer | null;
  /** A caller who asks for something else with the same key is refused. */
  refuseOther: boolean;
  /** The effect can be taken back: it is noted who relies on it. */
  undo: boolean;
  keepFailure: boolean;
  retentionMs: number;
  /** Kept with a compensation, for who has to mend it. */
  details: { saga: string; target: string; taskQueue: string; input: unknown } | null;
}

/** The holder of a task, and the values by which a write is compared. */
export interface TaskClaim {
  spec: TaskSpec;
  owner: string;
  /** How often the task was taken: the fence. */
  attempt: number;
  /** Attempts used, this one included: what people are shown. */
  used: number;
  /** The run's token. */
  token: number;
}

/** An error as it is stored. */
export interface StoredError {
  type: string;
  message: string;
}

export type Taken =
  | { outcome: 'run'; claim: TaskClaim; lastError: StoredError | null }
  /** A stored result, of this task or of another one with the same key, as JSON text. */
  | { outcome: 'done'; source: string; result: string }
  /** Of a compensation: not run, for another workflow relies on what it would take back. */
  | { outcome: 'relied_on'; by: string }
  /** The key was used to ask for something else. */
  | { outcome: 'other_input'; source: string }
  /** It failed for good before, and the failure is kept. */
  | { outcome: 'failed'; source: string; error: StoredError }
  | { outcome: 'exhausted'; used: number; error: StoredError }
  | { outcome: 'held' | 'resource_held' | 'key_held'; owner: string | null; waitMs: number }
  /** The row is of another run; it may be taken over when Temporal says that it is over. */
  | { outcome: 'run_mismatch'; holder: string }
  | { outcome: 'run_not_active' | 'discarded' };

type SettleTo = 'completed' | 'waiting' | 'failed' | 'discarded';

export interface Settlement {
  to: SettleTo;
  /** JSON text. */
  result?: string;
  error?: StoredError;
  retryMs?: number;
  /** The attempt does not count. */
  unused?: boolean;
  /** The workflow gets a reference in place of the result: it is kept until the workflow has ended. */
  byReference?: boolean;
  /** Only the claim itself is compared: to give up what the fence has refused. */
  lenient?: boolean;
}

const TAKE: Statement = {
  name: 'task-take',
  text: `select outcome, source, o_attempt, o_used, o_token, o_owner, wait_ms, o_result::text as o_result, o_error, o_run, o_other
         from longwatch.take_task($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
};
const SETTLE: Statement = {
  name: 'task-settle',
  text: `select * from longwatch.settle_task($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
};
/**
 * One statement for all leases of a node; what it does not find again is a lost lease, with its reason. One that has
 * run out holds again where nobody has taken the task; a resource may be another task's by then.
 */
const RENEW: Statement = {
  name: 'task-renew',
  text: `with held as (
           select * from unnest($2::text[], $3::int[], $4::float8[]) as h (task, attempt, ttl)
         ), renewed as (
           update longwatch.task t set lease_expires_at = clock_timestamp() + held.ttl * interval '1 millisecond'
           from held
           where t.task = held.task and t.attempt = held.attempt and t.state = 'leased' and t.owner = $1
             and (t.resource is null or t.lease_expires_at > clock_timestamp())
           returning t.task
         )
         select held.task,
                case when t.task is null then 'not_found' when t.state <> 'leased' then 'not_leased'
                     when t.owner is distinct from $1 then 'owner_mismatch' 
                     when t.attempt <> held.attempt then 'attempt_mismatch' else 'lease_expired' end as reason
         from held left join longwatch.task t on t.task = held.task
         where not exists (select from renewed where renewed.task = held.task)`,
};
/**
 * The code has not started, so the attempt was not used, whoever has the task now; where it is still ours it is free at
 * once.
 */
const NOT_STARTED: Statement = {
  name: 'task-not-started',
  text: `update longwatch.task t
         set unused = unused + 1, state = case when ours then 'waiting' else state end,
             owner = case when ours then null else owner end, lease_expires_at = case when ours then null else lease_expires_at end
         from (select task, state = 'leased' and owner = $2 and attempt = $3 as ours from longwatch.task where task = $1 for update) as o
         where t.task = o.task`,
};
/** A task that was taken back while it ran has stopped: nobody need wait for the end of its lease. */
const STOPPED: Statement = {
  name: 'task-stopped',
  text: `update longwatch.task set owner = null, lease_expires_at = null
         where task = $1 and owner = $2 and attempt = $3 and state = 'discarded'`,
};
const RESULT: Statement = {
  name: 'task-result',
  text: `select task, result::text as result from longwatch.task where task = any($1::text[]) and state in ('completed', 'resolved')`,
};
const END_RUN: Statement = {
  name: 'task-end-run',
  text: `update longwatch.task_run set state = 'ended' where workflow_id = $1 and run_id = $2`,
};
interface TakeRow {
  outcome: Taken['outcome'];
  source: string | null;
  o_attempt: number;
  o_used: number;
  o_token: number;
  o_owner: string | null;
  wait_ms: number | null;
  o_result: string | null;
  o_error: StoredError | null;
  o_run: string | null;
  o_other: boolean;
}

/**
 * @param call who asks: where its answer was lost it is asked again under the same name, and has what it has got then.
 * @param endedRun the run in the row that Temporal has declared over, by saying that ours is the current one.
 * @returns beside the outcome, the task whose key was used to ask for something else, where that is noted now.
 */
export async function takeTask(
  database: Database,
  spec: TaskSpec,
  owner: string,
  endedRun: string | null = null,
  call: string = randomUUID(),
): Promise<{ taken: Taken; other: string | null }> {
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
    spec.fingerprint,
    spec.refuseOther,
    spec.undo,
    spec.details?.saga ?? null,
    spec.details?.target ?? null,
    spec.details?.taskQueue ?? null,
    spec.details === null ? null : JSON.stringify(spec.details.input ?? null),
    call,
  ]);
  return { taken: takenFrom(row!, spec, owner), other: row!.o_other ? (row!.source ?? spec.task) : null };
}

function takenFrom(taken: TakeRow, spec: TaskSpec, owner: string): Taken {
  const error = taken.o_error ?? { type: 'Error', message: 'unknown' };
  switch (taken.outcome) {
    case 'run': {
      const claim = { spec, owner, attempt: taken.o_attempt, used: taken.o_used, token: taken.o_token };
      return { outcome: 'run', claim, lastError: taken.o_error };
    }
    case 'done':
      return { outcome: 'done', source: taken.source!, result: taken.o_result ?? 'null' };
    case 'relied_on':
      return { outcome: 'relied_on', by: taken.o_owner! };
    case 'other_input':
      return { outcome: 'other_input', source: taken.source! };
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
  claim: TaskClaim,
  { to, result, error, retryMs, unused, lenient, byReference }: Settlement,
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
    byReference ?? false,
  ];
  type Row = { reason: string | null; retry_at_ms: number | null };
  const rows = 'rows' in db ? await db.rows<Row>(SETTLE, values) : await run<Row>(db, SETTLE, values);
  return { reason: rows[0]!.reason, retryAtMs: rows[0]!.retry_at_ms };
}

/** Renews all of them in one statement. @returns the lost ones, each with its reason. */
export async function renewTasks(database: Database, owner: string, claims: TaskClaim[]): Promise<Map<string, string>> {
  const lost = await database.rows<{ task: string; reason: string }>(RENEW, [
    owner,
    claims.map((claim) => claim.spec.task),
    claims.map((claim) => claim.attempt),
    claims.map((claim) => claim.spec.ttlMs),
  ]);
  return new Map(lost.map(({ task, reason }) => [task, reason]));
}

export async function attemptNotStarted(database: Database, { spec, owner, attempt }: TaskClaim): Promise<void> {
  await database.rows(NOT_STARTED, [spec.task, owner, attempt]);
}

export async function attemptStopped(database: Database, { spec, owner, attempt }: TaskClaim): Promise<void> {
  await database.rows(STOPPED, [spec.task, owner, attempt]);
}

/** Results by task, as JSON text; what is not there any more is missing. */
export async function resultsOf(database: Database, tasks: string[]): Promise<Map<string, string>> {
  const rows = await database.rows<{ task: string; result: string }>(RESULT, [tasks]);
  return new Map(rows.map(({ task, result }) => [task, result]));
}

/** Nothing of this run may write any more. */
export async function endRun(database: Database, workflowId: string, runId: string): Promise<void> {
  await database.rows(END_RUN, [workflowId, runId]);
}
