/**
 * The node of a worker: its name, its place in the cluster, the connections that nothing else may keep waiting. Made by
 * `parts.ts`.
 */
import path from 'node:path';
import { availableParallelism, hostname } from 'node:os';
import type { Logger } from 'pino';
import { BufferFeed } from '../activities/buffer';
import { Database, VALUES_LIMITS, type DatabaseOptions } from '../activities/lib/database';
import { service, type Service } from '../activities/lib/service';
import type { TemporalLink } from '../activities/lib/temporal';
import type { Spender } from '../activities/upstream/budget/spender';
import { Isolation } from '../activities/tracker/shift/isolate';
import { Node } from '../activities/tracker/shift/node';
import { Watchdog } from '../activities/tracker/shift/watchdog';
import type { NodeRow } from '../activities/tracker/store/nodes';
import type { NodeMetrics } from '../activities/tracker/telemetry';
import { ConfigError } from '../config/errors';
import type { ResolvedConfig } from '../config/resolve/config';
import { handlerOf } from '../config/resolve/member';
import { parseDuration } from '../config/values';
import { idProblem } from '../workflows/tracker/id';
import { ACTIVITY_CONNECTIONS, ROW_CONNECTIONS, VALUES_CONNECTIONS } from './connection-budget';
import { DEFAULT_NODE_TIMEOUT_MS, NodeName } from './node-name';
import { releaseVersion } from './release';
import type { WorkerSetup } from './setup';
import { TemporalWatch } from './temporal-watch';

const DEFAULT_NODE_CONCURRENCY = 2_000;

export interface OwnNodeSetup {
  setup: WorkerSetup;
  /** With the limits of upstreams as they were set by hand. */
  config: ResolvedConfig;
  /** Asked before each request, where the config has limits. */
  spender: Spender | undefined;
  /** The one that was given, or was made up. */
  name: string;
  log: Logger;
  database: Database;
  /** How the database is reached. */
  address: Pick<DatabaseOptions, 'url' | 'directUrl' | 'log'>;
  link: TemporalLink;
  metrics: NodeMetrics;
  metricsUrl: () => string;
}

export interface OwnNode {
  node: Node;
  /** Claims the name: before anything is known of the node. */
  claim: Service;
  /** The connections and the watch that the node needs, in the order of their start. */
  before: Service[];
}

/** @throws ConfigError where the name, the address or the time to wait cannot be what they are. */
export function ownNode(given: OwnNodeSetup): OwnNode {
  const { setup, config, spender, name, log, database, address, link } = given;
  const row = rowOf(given);
  const claim = new NodeName(database, row, log, {
    given: setup.nodeName !== undefined,
    timeoutMs: waitOf(setup),
  });
  const values = new Database({ ...address, ...VALUES_LIMITS, connections: VALUES_CONNECTIONS });
  const rows = new Database({ ...address, ...VALUES_LIMITS, connections: ROW_CONNECTIONS });
  const watch = new TemporalWatch(link);
  const handlers = handlersOf(given);
  const buffers = new Map(config.buffers.map((buffer) => [buffer.name, buffer]));
  const feed = () =>
    new BufferFeed(buffers, database, (buffer, shard, message) => link.push(buffer, shard, message), log);
  const node = new Node({
    row,
    database,
    values,
    presence: { rows, incarnation: () => claim.incarnation, temporalRefusedMs: () => watch.refusedMs },
    trackers: config.trackers.map((tracker) => tracker.definition),
    log: log.child({ node: name }),
    metrics: given.metrics,
    isolation: new Isolation(isolationOptions(config, log)),
    watchdog: setup.watchdogMs === null ? undefined : new Watchdog(name, log, setup.watchdogMs),
    nodeConcurrency: setup.nodeConcurrency ?? DEFAULT_NODE_CONCURRENCY,
    spender,
    buffers: feed(),
    newFeed: feed,
    handlers,
  });
  const closing = [values, rows, ...(handlers ? [handlers] : [])].map((one) => service({ stop: () => one.close() }));
  return { node, claim, before: [...closing, watch] };
}

/** Connections of handlers that have transactions of their own, as many as activities have. */
function handlersOf({ config, address, setup }: OwnNodeSetup): Database | undefined {
  if (!hasHandlers(config)) return undefined;
  return new Database({ ...address, connections: setup.activityConnections ?? ACTIVITY_CONNECTIONS });
}

export const hasHandlers = ({ trackers }: ResolvedConfig): boolean =>
  trackers.some(({ definition: { receive } }) => receive !== undefined && handlerOf(receive).transaction);

function rowOf({ setup, name, metricsUrl }: OwnNodeSetup): NodeRow {
  const egress = setup.egress ?? hostname();
  for (const [what, text] of Object.entries({ nodeName: name, egress })) {
    const problem = idProblem(text);
    if (problem !== undefined)
      throw new ConfigError([`${what} cannot be ${JSON.stringify(text.slice(0, 60))}: ${problem}`]);
  }
  return {
    name,
    host: hostname(),
    pid: process.pid,
    get metricsUrl() {
      return metricsUrl();
    },
    version: releaseVersion(),
    labels: setup.labels,
    address: egress,
  };
}

function waitOf({ nodeTimeout }: WorkerSetup): number {
  if (nodeTimeout === undefined) return DEFAULT_NODE_TIMEOUT_MS;
  const waitMs = parseDuration(nodeTimeout);
  if (waitMs === undefined || waitMs < 0) {
    throw new ConfigError([`nodeTimeout must be a duration such as '10s', or '0' not to wait, not '${nodeTimeout}'`]);
  }
  return waitMs;
}

function isolationOptions(config: ResolvedConfig, log: Logger) {
  const extension = path.extname(__filename);
  return {
    filename: path.join(__dirname, `isolate-thread${extension}`),
    workerData: { configPath: config.path, logLevel: log.level },
    execArgv: extension === '.ts' ? ['--require', 'tsx/cjs'] : [],
    threads: Math.max(2, availableParallelism()),
  };
}
