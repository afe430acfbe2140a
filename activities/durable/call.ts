/**
 * The parts of one call of a durable activity: what it needs of its node, what Temporal says of it, and what is to be
 * run. Made by `index.ts`; `acquire.ts`, `execute.ts` and `answers.ts` work on it.
 */
import type { Logger } from 'pino';
import type { ActivityContext } from '../../config/define/activity';
import { KEEP_WITHOUT_KEY_MS, type DurableOptions } from '../../workflows/durable/contract';
import type { Database } from '../lib/database';
import type { Key, KeyWaiter } from './keys';
import type { LeaseKeeper } from './leases';
import type { TaskSpec } from './store/tasks';
import type { DurableTelemetry, Subject } from './telemetry';
import type { Transactions } from './transaction';

/** Questions that only Temporal can answer. */
export interface Workflows {
  /** Whether a run is the running one of its workflow. */
  isCurrent: (workflowId: string, runId: string) => Promise<boolean>;
  /** Whether the run still waits for this activity: it may have given it up. */
  isPending: (workflowId: string, runId: string, activityId: string) => Promise<boolean>;
  /** Whether any run of the workflow goes on, so that it may still use what is kept for it. */
  isRunning: (workflowId: string) => Promise<boolean>;
}

/** The parts of a node that an execution needs. */
export interface DurableServices extends Workflows {
  owner: string;
  database: Database;
  transactions: Transactions;
  leases: LeaseKeeper;
  waiter: KeyWaiter;
  telemetry: DurableTelemetry;
  log: Logger;
}

/** Temporal's side of a call: cancellation, and which kind of it. */
export interface Caller {
  signal: AbortSignal;
  details: () => { cancelRequested: boolean; workerShutdown: boolean; paused: boolean; reset: boolean } | undefined;
}

/** One call. */
export interface Call {
  subject: Omit<Subject, 'executor' | 'attempt'>;
  options: DurableOptions;
  key: Key | null;
  /** The hash of what is asked for: a caller with the same key and another fingerprint asks for something else. */
  fingerprint: Buffer | null;
  resource: string | null;
  details: TaskSpec['details'];
  undo: boolean;
  /** Gets what the code needs, once the attempt has its row; what fails in here has not begun. */
  prepare?: () => Promise<void>;
  run: (context: ActivityContext) => unknown;
}

export function specOf({ subject, options, key, fingerprint, resource, details, undo }: Call): TaskSpec {
  return {
    task: subject.task,
    activity: subject.activity,
    kind: subject.kind,
    workflowId: subject.workflow,
    runId: subject.run,
    ttlMs: options.lease.ttlMs,
    attempts: options.retry.attempts,
    resource,
    key,
    fingerprint,
    refuseOther: options.otherInput === 'refuse',
    undo,
    keepFailure: options.keepFailure,
    retentionMs: key === null ? KEEP_WITHOUT_KEY_MS : options.keepMs,
    details,
  };
}
