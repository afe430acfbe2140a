/**
 * The setup of a worker, given by the `worker` and `dev` verbs, by tests, by whoever embeds Longwatch (`createWorker`
 * in `worker.ts`). `parts.ts` makes the worker's parts from it.
 */
import type { DataConverter } from '@temporalio/common';
import type { StringValue } from 'ms';
import type { Logger } from 'pino';
import type { TemporalTarget } from '../config/environment';
import type { ResolvedConfig } from '../config/resolve/config';
import type { MetricsOptions } from './metrics';

export interface WorkerSetup {
  config: ResolvedConfig;
  temporal: TemporalTarget;
  databaseUrl: string;
  /** The server's own address for LISTEN, where `databaseUrl` is that of a pooler in transaction mode. */
  directDatabaseUrl?: string;
  /** The address at which metrics are served. @default 127.0.0.1:9464, or a free port where that is taken */
  metrics?: MetricsOptions;
  log: Logger;
  /** @default the config's */
  dataConverter?: DataConverter;
  /** Take over a database that belongs to another Temporal cluster. */
  adopt?: boolean;
  /** No other worker of the database may have it. @default host, process id and a few random letters */
  nodeName?: string;
  /** How long to wait for a name that another process has. @default 10s, twice the heartbeat timeout's default */
  nodeTimeout?: StringValue;
  /**
   * The name of the address that this worker's requests leave from: workers of one name share what an upstream limits
   * by address.
   * @default the host's name
   */
  egress?: string;
  /**
   * Pools of trackers with `placement: { on: … }` of one of these come to this node, beside those of trackers without.
   * @default none
   */
  labels?: readonly string[];
  /** Runs of all pools at once. @default 2,000 */
  nodeConcurrency?: number;
  /** A stall of the event loop is reported after this long; null: no watchdog. Milliseconds. @default 1,000 */
  watchdogMs?: number | null;
  /**
   * A prebuilt workflow bundle. @default the one made by `npm run build`, else (and with own workflows) bundled at
   * start
   */
  workflowBundle?: string;
  /** Transactions of durable activities at once. @default 10 */
  activityConnections?: number;
  /**
   * Connections for the chunks and pages of jobs; one job uses at most half of them.
   * @default the sum of their `concurrency` and two, at least twice the largest (`connection-budget.ts`)
   */
  jobConnections?: number;
  /** After the order to end: what still works by then is left behind. @default 25s */
  shutdownForceTime?: StringValue;
}
