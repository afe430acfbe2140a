/**
 * The statements that delete old rows of durable activities: tasks past their time with their keys, and runs without
 * tasks. Called by `retention.ts`; the database's clock says what is past its time.
 */
import type { Database, Statement } from '../../lib/database';

/**
 * Small batches, so that no lock is held for long; the key goes with the task that has it, and is locked before it, as
 * everywhere. A result that a workflow has a reference to stays.
 */
const DELETE_EXPIRED: Statement = {
  name: 'task-delete-expired',
  text: `with old as materialized (
           select t.task, t.activity, t.key_hash from longwatch.task t
           where t.expires_at < now() and t.held_until is null order by t.expires_at limit $1
         ), keyed as materialized (
           select i.activity, i.key_hash, i.task from longwatch.idempotency i
           join old on old.activity = i.activity and old.key_hash = i.key_hash and old.task = i.task
           for update of i skip locked
         ), due as materialized (
           select t.task from longwatch.task t join old on old.task = t.task
           where t.expires_at < now() and t.held_until is null
             and (t.task in (select task from keyed) or not exists (
               select from longwatch.idempotency i where i.activity = old.activity and i.key_hash = old.key_hash and i.task = old.task))
           for update of t skip locked
         ), gone as (
           delete from longwatch.task t using due where t.task = due.task returning t.task
         ), keys as (
           delete from longwatch.idempotency i using keyed k, gone g
           where i.activity = k.activity and i.key_hash = k.key_hash and k.task = g.task and i.task = g.task
         )
         select count(*)::int as deleted from gone`,
};
/** Results that a workflow has references to, and whose workflow is to be looked at again. */
const HELD: Statement = {
  name: 'task-held',
  text: `select distinct workflow_id from (
           select workflow_id from longwatch.task where held_until < now() order by held_until limit $1
         ) as due`,
};
const HOLD_ON: Statement = {
  name: 'task-hold-on',
  text: `update longwatch.task set held_until = case when $2 then now() + $3::float8 * interval '1 millisecond' end
         where workflow_id = $1 and held_until < now()`,
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

/** Workflows that have references to results, and are to be looked at again. */
export async function holders(database: Database, limit: number): Promise<string[]> {
  return (await database.rows<{ workflow_id: string }>(HELD, [limit])).map((row) => row.workflow_id);
}

/** @param running whether it still is, so that what it has references to stays for so long again */
export async function holdOn(database: Database, workflowId: string, running: boolean, forMs: number): Promise<void> {
  await database.rows(HOLD_ON, [workflowId, running, forMs]);
}

/** @returns how many tasks were deleted; fewer than `limit`: there are no more. */
export async function deleteExpired(database: Database, limit: number): Promise<number> {
  return (await database.rows<{ deleted: number }>(DELETE_EXPIRED, [limit]))[0]!.deleted;
}

/** Runs that have no task left. */
export async function deleteRuns(database: Database, limit: number, olderThanMs: number): Promise<number> {
  return (await database.rows<{ deleted: number }>(DELETE_RUNS, [limit, olderThanMs]))[0]!.deleted;
}
