/**
 * A node of durable activities without Temporal: the test plays its part and calls again, on whichever node. So a test
 * can stop the clockwork at any place. Also used by the child processes (`child.ts`).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { pino, type Logger } from 'pino';
import { Registry } from 'prom-client';
import type { QueryResultRow } from 'pg';
import type { ActivityContext } from '../../config/define/activity';
import { execute } from '../../activities/durable/execute';
import type { Caller, Call, DurableServices, Workflows } from '../../activities/durable/call';
import { KeyWaiter, makeFingerprint, makeKey } from '../../activities/durable/keys';
import { LeaseKeeper } from '../../activities/durable/leases';
import { DurableTelemetry } from '../../activities/durable/telemetry';
import { Transactions } from '../../activities/durable/transaction';
import { Database, type Statement } from '../../activities/lib/database';
import type { DurableOptions, Envelope, RetryPolicy } from '../../workflows/durable/contract';

export interface TestCall {
  task: string;
  run: (context: ActivityContext) => unknown;
  activity?: string;
  kind?: 'activity' | 'compensation';
  key?: string;
  resource?: string;
  timeoutMs?: number;
  ttlMs?: number;
  renewMs?: number;
  retry?: Partial<RetryPolicy>;
  keepFailure?: boolean;
  keepMs?: number;
  input?: unknown;
  otherInput?: 'tell' | 'refuse';
  undo?: boolean;
  workflow?: string;
  details?: Call['details'];
  prepare?: () => Promise<void>;
}

/** Statements can be held up or made to fail. */
export class HookedDatabase extends Database {
  before: (statement: Statement) => Promise<void> | void = () => undefined;
  after: (statement: Statement) => Promise<void> | void = () => undefined;
  readonly seen: string[] = [];

  override async rows<R extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<R[]> {
    this.seen.push(statement.name);
    await this.before(statement);
    const rows = await super.rows<R>(statement, values);
    await this.after(statement);
    return rows;
  }
}

export type LogLine = Record<string, unknown> & { msg: string };

export class TestNode {
  readonly lines: LogLine[] = [];
  readonly registry = new Registry();
  readonly database: HookedDatabase;
  readonly services: DurableServices;
  private readonly effects: Database;

  constructor(
    url: string,
    readonly owner: string,
    isCurrent: DurableServices['isCurrent'] = () => Promise.resolve(true),
    workflows: Partial<Workflows> = {},
  ) {
    const log: Logger = pino(
      { level: 'debug' },
      { write: (line) => void this.lines.push(JSON.parse(line) as LogLine) },
    );
    this.database = new HookedDatabase({ url, log, connections: 4 });
    this.effects = new Database({ url, log, connections: 10 });
    const leases = new LeaseKeeper(this.database, owner, log);
    this.services = {
      owner,
      database: this.database,
      transactions: new Transactions(this.effects, 10),
      leases,
      waiter: new KeyWaiter(this.database, log),
      telemetry: new DurableTelemetry(log, this.registry, () => leases.size),
      log,
      isCurrent,
      isPending: () => Promise.resolve(true),
      isRunning: () => Promise.resolve(false),
      ...workflows,
    };
  }

  call(call: TestCall, caller: Partial<Caller> = {}): Promise<Envelope> {
    const [runId, activityId] = call.task.split('/');
    const activity = call.activity ?? 'effect';
    const options: DurableOptions = {
      timeoutMs: call.timeoutMs ?? 20_000,
      retry: { attempts: 1, backoff: 'constant', baseMs: 1_000, capMs: 300_000, jitter: false, ...call.retry },
      lease: { ttlMs: call.ttlMs ?? 30_000, renewMs: call.renewMs ?? 10_000 },
      keepMs: call.keepMs ?? 604_800_000,
      keepFailure: call.keepFailure ?? false,
      otherInput: call.otherInput ?? 'tell',
    };
    return execute(
      this.services,
      {
        subject: {
          workflow: call.workflow ?? `workflow of ${runId}`,
          run: runId!,
          task: call.task,
          activity,
          externalId: activityId!,
          kind: call.kind ?? 'activity',
          key: call.key,
          target: call.kind === 'compensation' ? call.key : undefined,
        },
        options,
        key: makeKey(activity, () => call.key),
        fingerprint: call.input === undefined ? null : makeFingerprint(activity, call.input),
        resource: call.resource ?? null,
        details: call.details ?? null,
        undo: call.undo ?? false,
        prepare: call.prepare,
        run: call.run,
      },
      { signal: new AbortController().signal, details: () => undefined, ...caller },
    );
  }

  /** As Temporal does: calls again, after the delay asked for, until it is done or not retryable. */
  async callAgain(call: TestCall): Promise<Envelope> {
    for (;;) {
      try {
        return await this.call(call);
      } catch (error) {
        const { nonRetryable, nextRetryDelay } = error as { nonRetryable?: boolean; nextRetryDelay?: unknown };
        if (nonRetryable === true) throw error;
        const wait = typeof nextRetryDelay === 'number' ? nextRetryDelay : 20;
        await delay(wait);
      }
    }
  }

  /** The lines of one event. */
  told(msg: string): LogLine[] {
    return this.lines.filter((line) => line.msg === msg);
  }

  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const found = await this.registry.getSingleMetric(name)!.get();
    return found.values
      .filter((value) => Object.entries(labels).every(([key, label]) => value.labels[key] === label))
      .reduce((sum, value) => sum + value.value, 0);
  }

  async close(): Promise<void> {
    await this.services.leases.stop();
    await this.services.waiter.stop();
    await this.effects.close();
    await this.database.close();
  }
}

export const typeOf = (error: unknown): unknown => (error as { type?: unknown }).type;

/** A promise and its resolve. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
