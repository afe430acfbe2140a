/**
 * Durable activities from outside: who holds which lease, what a key has stored, which compensations failed for good
 * and how they are mended. Got from `Longwatch.durable`; used by the verbs `leases`, `keys` and `saga`. All of it is
 * read from PostgreSQL; only a retry needs Temporal.
 */
import { run, type Statement } from '../../activities/lib/database';
import { hashOf, keyProblem } from '../../activities/durable/keys';
import { storable } from '../../workflows/lib/text';
import {
  compensationWorkflowId,
  type CompensationInput,
  type CompensationRetry,
} from '../../workflows/durable/contract';
import { announced, recorded, type CommandOptions } from '../audit';
import type { Connections } from '../connections';
import type { LongwatchError } from '../errors';
import { RefusedError, UnknownKeyError } from '../errors';
import { iso } from '../iso';
import type { Page, PageOptions } from '../page';
import { temporalClient } from '../temporal-client';
import { TASK_QUEUE } from '../../workflows/lib/contract';
import { ms } from '../../activities/lib/sql';
import {
  keyState,
  pageOfBroken,
  pageOfKeys,
  pageOfLeases,
  readLeases,
  type BrokenCompensation,
  type KeySummary,
  type LeaseSummary,
} from './lists';

export type { BrokenCompensation, KeySummary, LeaseSummary } from './lists';

export interface KeyDetails {
  activity: string;
  key: string;
  state: 'reserved' | 'done' | 'failed';
  task: string;
  workflow: string;
  attempts: number;
  createdAt: string;
  /** When it is forgotten; null: not while it is open. */
  expiresAt: string | null;
  result: unknown;
  error: string | null;
  /** Calls with this key that asked for something else, and the last of them. */
  otherInputs: number;
  otherInputAt: string | null;
  otherInputBy: string | null;
}

const KEY: Statement = {
  name: 'client-key',
  text: `select i.key, t.task, t.state, t.workflow_id as workflow, t.attempt - t.unused as attempts, t.result, t.error,
                ${ms('i.created_at')} as created_at,
                i.others, i.other_task, ${ms('i.other_at')} as other_at,
                case when t.state in ('leased', 'waiting') then null else ${ms('t.expires_at')} end as expires_at
         from longwatch.idempotency i join longwatch.task t on t.task = i.task
         where i.activity = $1 and i.key_hash = $2`,
};
/** Not while it runs: a second run beside the first is what the key is there to prevent. */
const DELETE_KEY: Statement = {
  name: 'client-key-delete',
  text: `delete from longwatch.idempotency i where i.activity = $1 and i.key_hash = $2 and not exists (
           select from longwatch.task t where t.task = i.task and t.state = 'leased' and t.lease_expires_at > clock_timestamp())
         returning i.task`,
};
/** The epoch as its due time says that whoever comes with the key may take it over at once. */
const REOPEN: Statement = {
  name: 'client-saga-reopen',
  text: `update longwatch.task set state = 'waiting', unused = attempt, retry_at = 'epoch', note = 'retried by hand', changed_at = now()
         where task = $1 and kind = 'compensation' and (state = 'failed' or (state = 'waiting' and retry_at = 'epoch'))
         returning activity, target, task_queue, input`,
};
const RESOLVE: Statement = {
  name: 'client-saga-resolve',
  text: `with done as (
           update longwatch.task set state = 'resolved', note = $2, result = 'null', changed_at = now(), owner = null,
                  expires_at = now() + interval '90 days'
           where task = $1 and kind = 'compensation' and state in ('failed', 'waiting')
           returning activity, target
         )
         select activity, target, longwatch.forget_taken_back(target) from done`,
};

export class DurableHandle {
  constructor(private readonly connections: Connections) {}

  /** Leases that are held, the one that runs out next first. */
  leases(limit = 1_000): Promise<LeaseSummary[]> {
    return readLeases(this.connections, limit);
  }

  /** The same in parts, in the order of their tasks, which stays while they are renewed. @throws InvalidCursorError */
  leasesPage(options: PageOptions = {}): Promise<Page<LeaseSummary>> {
    return pageOfLeases(this.connections, options);
  }

  /** The keys of an activity in parts, in an order that stays and says nothing. @throws InvalidCursorError */
  keysPage(activity: string, options: PageOptions = {}): Promise<Page<KeySummary>> {
    return pageOfKeys(this.connections, activity, options);
  }

  /** @throws UnknownKeyError */
  key(activity: string, key: string): Promise<KeyDetails> {
    return this.find('read', activity, key);
  }

  private async find(from: 'read' | 'rows', activity: string, key: string): Promise<KeyDetails> {
    type Row = Pick<KeyDetails, 'key' | 'task' | 'workflow' | 'attempts' | 'result'> & {
      state: string;
      others: number;
      other_task: string | null;
      other_at: number | null;
      created_at: number;
      expires_at: number | null;
      error: { message: string } | null;
    };
    const [row] = await this.connections[from]<Row>(KEY, [activity, hashOf(checked(key))]);
    if (!row) throw new UnknownKeyError(`${activity} has no key '${shorten(key)}'`);
    return {
      activity,
      key: row.key,
      state: keyState(row.state),
      task: row.task,
      workflow: row.workflow,
      attempts: row.attempts,
      createdAt: iso(row.created_at),
      expiresAt: row.expires_at === null ? null : iso(row.expires_at),
      result: row.result,
      error: row.error?.message ?? null,
      otherInputs: row.others,
      otherInputAt: row.other_at === null ? null : iso(row.other_at),
      otherInputBy: row.other_task,
    };
  }

  /**
   * The next caller of the key runs the activity again. @throws UnknownKeyError; RefusedError when it runs just now.
   */
  async deleteKey(activity: string, key: string, { why }: CommandOptions = {}): Promise<void> {
    const { task, state } = await this.find('rows', activity, key);
    const command = { what: 'keys delete', subject: `key/${activity}/${shorten(key)}`, before: { task, state }, why };
    await recorded(this.connections, command, async (db) => {
      const deleted = await run(db, DELETE_KEY, [activity, hashOf(checked(key))]);
      if (deleted.length > 0) return { result: undefined };
      throw new RefusedError(`${task} runs with the key '${shorten(key)}' just now; nothing was deleted`);
    });
  }

  /** Compensations that failed for good, and those that are tried again by hand; the first thousand. */
  async brokenCompensations(limit = 1_000): Promise<BrokenCompensation[]> {
    return (await this.brokenCompensationsPage({ limit })).items;
  }

  /** The same in parts. @throws InvalidCursorError */
  brokenCompensationsPage(options: PageOptions = {}): Promise<Page<BrokenCompensation>> {
    return pageOfBroken(this.connections, options);
  }

  /** Gives a broken compensation its attempts back and runs it. @returns the workflow that does. */
  async retryCompensation(task: string, { why }: CommandOptions = {}): Promise<{ workflow: string }> {
    await this.connections.mayWrite();
    return announced(this.connections, { ...compensation('saga retry', task), why }, async () => {
      const workflow = await this.runAgain(task);
      return { result: { workflow }, after: { workflow } };
    });
  }

  private async runAgain(task: string): Promise<string> {
    type Row = { activity: string; target: string; task_queue: string; input: CompensationInput };
    const [row] = await this.connections.rows<Row>(REOPEN, [task]);
    if (!row) throw notBroken(task);
    const workflow = compensationWorkflowId(row.activity, row.target);
    const input: CompensationRetry = { activity: row.activity, taskQueue: row.task_queue, input: row.input };
    await this.connections.temporal(
      async (client) => {
        const { WorkflowExecutionAlreadyStartedError } = temporalClient();
        try {
          await client.workflow.start('compensation', { workflowId: workflow, taskQueue: TASK_QUEUE, args: [input] });
        } catch (error) {
          if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        }
      },
      { done: () => 'it was not started, and can be retried again' },
    );
    return workflow;
  }

  /** Says that it was done by hand: it will not run again. */
  async resolveCompensation(task: string, note: string, { why }: CommandOptions = {}): Promise<void> {
    const command = {
      ...compensation('saga resolve', task),
      after: { state: 'resolved' },
      why: why ?? (note || undefined),
    };
    await recorded(this.connections, command, async (db) => {
      if ((await run(db, RESOLVE, [task, storable(note, 4_000)])).length === 0) throw notBroken(task);
      return { result: undefined };
    });
  }
}

const compensation = (what: string, task: string) => ({ what, subject: `compensation/${task}` });

function notBroken(task: string): LongwatchError {
  return new RefusedError(`there is no broken compensation ${task}; see them with: npx longwatch saga list`);
}

function checked(key: string): string {
  const problem = keyProblem(key);
  if (problem !== undefined) throw new RefusedError(`the key ${problem}`);
  return key;
}

const shorten = (text: string): string => (text.length > 80 ? `${text.slice(0, 80)}…` : text);
