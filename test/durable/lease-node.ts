/**
 * One worker of the simulated world of leases (`lease-world.ts`): Longwatch's real leases and transactions on a
 * simulated database; and the calls that it gets.
 */
import { pino } from 'pino';
import type { QueryResultRow } from 'pg';
import type { Call, DurableServices } from '../../activities/durable/call';
import { hashOf, type KeyWaiter } from '../../activities/durable/keys';
import { LeaseKeeper } from '../../activities/durable/leases';
import { DurableTelemetry } from '../../activities/durable/telemetry';
import { Transactions } from '../../activities/durable/transaction';
import type { Database, Queryable, Statement } from '../../activities/lib/database';

const log = pino({ level: 'silent' });

interface Surroundings {
  rows: (statement: Statement, values: unknown[]) => Promise<unknown[]>;
  transaction: (work: (db: Queryable) => Promise<unknown>) => Promise<unknown>;
  pending: (task: string) => boolean;
  sleep: (ms: number) => Promise<void>;
}

/** One call of a workflow. */
export interface Watch {
  /** When its last attempt began. */
  at: number;
  givenUp: boolean;
  /** Tells the attempts at their next heartbeat that nobody waits for them. */
  hear: (() => void)[];
}

export class SimulatedNode {
  readonly services: DurableServices;
  dead = false;
  private readonly mourners: (() => void)[] = [];

  constructor(owner: string, around: Surroundings) {
    const database = {
      rows: <R extends QueryResultRow>(statement: Statement, values: unknown[] = []) =>
        around.rows(statement, values) as Promise<R[]>,
      transaction: around.transaction,
    } as unknown as Database;
    const leases = new LeaseKeeper(database, owner, log);
    const waiter = { wait: (_key: unknown, ms: number) => around.sleep(Math.max(1, Math.min(1_000, ms))) };
    this.services = {
      ...{ owner, database, leases, log },
      transactions: new Transactions(database, 10),
      waiter: waiter as unknown as KeyWaiter,
      telemetry: new DurableTelemetry(log, undefined, () => leases.size),
      isCurrent: () => around.sleep(5).then(() => true),
      isPending: (_workflow, run, activity) => around.sleep(5).then(() => around.pending(`${run}/${activity}`)),
      isRunning: () => Promise.resolve(true),
    };
  }

  onDeath(then: () => void): void {
    this.mourners.push(then);
  }

  die(): void {
    this.dead = true;
    void this.services.leases.stop();
    for (const then of this.mourners) then();
  }
}

/** A call of an activity that pays, or of the one that takes the payment back. */
export function callOf(
  task: string,
  activity: string,
  workflow: string,
  keyText: string,
  attempts: number,
  ttlMs: number,
): Call {
  const kind = activity === 'pay' ? ('activity' as const) : ('compensation' as const);
  const [run, externalId] = task.split('/') as [string, string];
  return {
    subject: { workflow, run, task, activity, externalId, kind, key: keyText },
    options: {
      timeoutMs: 60_000,
      retry: { attempts, backoff: 'exponential', baseMs: 100, capMs: 2_000, jitter: false },
      lease: { ttlMs: ttlMs, renewMs: ttlMs / 3 },
      keepMs: 1e9,
      keepFailure: kind === 'compensation',
      otherInput: 'tell',
    },
    key: { text: keyText, hash: hashOf(keyText) },
    fingerprint: null,
    resource: null,
    details: null,
    undo: false,
    run: () => undefined,
  };
}
