/**
 * A worker: one node that keeps shifts and runs the short activities and all workflow code. Called by the `worker` and
 * `dev` verbs, by tests and by whoever embeds Longwatch.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import path from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { Client, Connection } from '@temporalio/client';
import {
  GracefulShutdownPeriodExpiredError,
  IllegalStateError,
  NativeConnection,
  Worker,
  type InjectedSinks,
  type WorkerOptions,
} from '@temporalio/worker';
import type { StringValue } from 'ms';
import type { DataConverter } from '@temporalio/common';
import type { Logger } from 'pino';
import { createActivities } from '../activities/tracker';
import { carried } from '../activities/lib/wire';
import { ourLog } from '../activities/lib/log';
import {
  BufferFeed,
  BufferMetrics,
  createBufferActivities,
  heapUse,
  MemoryMonitor,
  ShardReports,
} from '../activities/buffer';
import { JobNode } from '../activities/job/node';
import { startPatrol } from '../activities/patrol';
import { Isolation } from '../activities/tracker/shift/isolate';
import { Node } from '../activities/tracker/shift/node';
import { Watchdog } from '../activities/tracker/shift/watchdog';
import { noteReports, readReports } from '../activities/buffer/store/buffers';
import { Database, OWN_LIMITS, VALUES_LIMITS } from '../activities/lib/database';
import { NodeMetrics } from '../activities/tracker/telemetry';
import { TemporalLink } from '../activities/lib/temporal';
import type { ShardSinks } from '../workflows/buffer/contract';
import { refuseIgnoredCodec, wholeConverter } from '../config/data-converter';
import { checkAddress, type TemporalTarget } from '../config/environment';
import { ConfigError, SchemaError } from '../config/errors';
import { withTlsProblem } from '../config/temporal-tls';
import { bundleProblem, bundleWorkflows } from './bundle';
import { claimDeployment, ensureSearchAttributes } from '../activities/lib/deployment';
import { confirmEncoding, encodes } from '../activities/lib/encoding';
import { readiness } from './readiness';
import { openDurable, workflowsOf } from './durable';
import { serveMetrics, type MetricsOptions } from './metrics';
import { claimName } from './node-name';
import { KIT_CONNECTIONS, poolSizes, tellRoom, VALUES_CONNECTIONS } from './connection-budget';
import { installRuntime } from './runtime';
import { schemaProblem } from './schema';
import { tellServer } from './server-check';
import { surviveStrayErrors } from './stray-errors';
import { TASK_QUEUE } from '../workflows/lib/contract';
import type { ResolvedConfig } from '../config/resolve/config';
import { sleep } from '../activities/lib/sleep';

export interface WorkerSetup {
  config: ResolvedConfig;
  temporal: TemporalTarget;
  databaseUrl: string;
  /** The server's own address for LISTEN, where `databaseUrl` is that of a pooler in transaction mode. */
  directDatabaseUrl?: string;
  /** Where metrics are served. @default 127.0.0.1:9464, or a free port where that is taken */
  metrics?: MetricsOptions;
  log: Logger;
  /** @default the config's */
  dataConverter?: DataConverter;
  /** Take over a database that belongs to another Temporal cluster. */
  adopt?: boolean;
  /** No other worker of the database may have it. @default host, process id and a few random letters */
  nodeName?: string;
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

export interface LongwatchWorker {
  /** Works until `shutdown`, then resolves. Rejects when the worker fails for good. */
  run(): Promise<void>;
  /** Hands all shifts back, writes what there is, takes no more tasks. */
  shutdown(): Promise<void>;
  metricsUrl: string;
  node: string;
}

const DEFAULT_NODE_CONCURRENCY = 2_000;
/** More shifts than one process could keep; the node's own limits come first. */
const ACTIVITY_SLOTS = 5_000;
/** Polls that are out at shutdown are answered or end within this; long polls last a minute. */
const SHUTDOWN_GRACE = '10s';
/**
 * What has not ended by then is left behind: its heartbeats stop with this process, and another worker goes on with it.
 */
const SHUTDOWN_FORCE = '25s';
/** Connections that somebody still uses are not waited for longer than this at the end. Milliseconds. */
const CLOSE_MS = 3_000;

export async function createWorker(setup: WorkerSetup): Promise<LongwatchWorker> {
  const taken: (() => Promise<unknown>)[] = [];
  try {
    return await open(setup, taken);
  } catch (error) {
    // Its name, its port and its connections must be free for the next try, which may come from this very process.
    for (const giveBack of taken.reverse()) await inTime(giveBack());
    throw error;
  }
}

/** @param taken what gives back what it has taken so far, in the order of its taking. */
async function open(setup: WorkerSetup, taken: (() => Promise<unknown>)[]): Promise<LongwatchWorker> {
  const { config, temporal } = setup;
  const log = ourLog(setup.log);
  const dataConverter = wholeConverter(setup.dataConverter ?? config.dataConverter);
  refuseIgnoredCodec(temporal, dataConverter);
  refuseOtherBundle(setup.workflowBundle, dataConverter);
  checkAddress(setup.databaseUrl, 'databaseUrl');
  if (setup.directDatabaseUrl !== undefined) checkAddress(setup.directDatabaseUrl, 'directDatabaseUrl');
  const name = setup.nodeName ?? `${hostname()}-${process.pid}-${Math.random().toString(36).slice(2, 6)}`;
  const address = { url: setup.databaseUrl, directUrl: setup.directDatabaseUrl, log };
  const database = new Database({ ...address, ...OWN_LIMITS, connections: KIT_CONNECTIONS });
  taken.push(() => database.close());
  const connection = await Connection.connect(connectionOptions(temporal)).catch(async (error: unknown) => {
    throw await withTlsProblem(error, temporal);
  });
  taken.push(() => connection.close());
  const problem = await schemaProblem(database);
  if (problem !== undefined) throw new SchemaError(problem);
  await tellServer(connection, temporal.namespace, log);
  await ensureSearchAttributes(connection, temporal.namespace, log);
  await claimDeployment(database, connection, temporal.namespace, setup.adopt ?? false, encodes(dataConverter));
  let giveNameBack: () => Promise<void> = () => Promise.resolve();
  if (setup.nodeName !== undefined) {
    giveNameBack = await claimName(database, { name, host: hostname(), pid: process.pid }, log);
    taken.push(giveNameBack);
  }

  // Only now: its threads would keep a process that was refused above from ending.
  const sdkPort = await installRuntime(log);
  const sizes = poolSizes({
    durableActivities: config.activities.length,
    jobs: config.jobs.map(({ options }) => options.concurrency),
    activityConnections: setup.activityConnections,
    jobConnections: setup.jobConnections,
  });
  const metrics = new NodeMetrics();
  let running = false;
  const link = new TemporalLink(new Client({ connection, namespace: temporal.namespace, dataConverter }));
  const health = readiness(() => running, database, link);
  const page = await serveMetrics(metrics.registry, sdkPort, health, log, setup.metrics);
  taken.push(() => page.close());
  const values = new Database({ ...address, ...VALUES_LIMITS, connections: VALUES_CONNECTIONS });
  taken.push(() => values.close());
  const node = new Node({
    row: { name, host: hostname(), pid: process.pid, metricsUrl: page.url },
    database,
    values,
    trackers: config.trackers.map((tracker) => tracker.definition),
    log: log.child({ node: name }),
    metrics,
    isolation: new Isolation(isolationOptions(config, log)),
    watchdog: setup.watchdogMs === null ? undefined : new Watchdog(name, log, setup.watchdogMs),
    nodeConcurrency: setup.nodeConcurrency ?? DEFAULT_NODE_CONCURRENCY,
    buffers: new BufferFeed(
      new Map(config.buffers.map((buffer) => [buffer.name, buffer])),
      database,
      (buffer, shard, message) => link.push(buffer, shard, message),
      log,
    ),
  });
  taken.push(() => node.close());
  const durable = openDurable(config.activities, {
    databaseUrl: setup.databaseUrl,
    directDatabaseUrl: setup.directDatabaseUrl,
    database,
    owner: name,
    log: node.log,
    connections: setup.activityConnections,
    registry: metrics.registry,
    workflows: workflowsOf(link),
  });
  taken.push(() => durable.close());
  const jobNode = new JobNode({
    nodeName: name,
    databaseUrl: setup.databaseUrl,
    directDatabaseUrl: setup.directDatabaseUrl,
    jobs: config.jobs,
    temporal: link,
    log: node.log,
    registry: metrics.registry,
    connections: sizes.jobs || undefined,
  });
  taken.push(() => jobNode.close());
  const buffers = createBufferActivities({
    node: name,
    database,
    temporal: link,
    definitions: new Map(config.buffers.map(({ name: buffer, definition }) => [buffer, definition])),
    metrics: new BufferMetrics(metrics.registry, () => database.transaction(readReports)),
    log: node.log,
  });
  const memory = new MemoryMonitor({
    heap: heapUse(),
    tell: (buffer, shard, wish) => link.tellMemory(buffer, shard, wish),
    log: node.log,
    registry: metrics.registry,
  });
  const reports = new ShardReports((all) => database.transaction((db) => noteReports(db, all)), node.log);
  const own = {
    ...createActivities({ node, database, temporal: link, log: node.log }),
    ...buffers,
    ...jobNode.activities,
  };
  const native = await NativeConnection.connect(connectionOptions(temporal));
  taken.push(() => native.close());
  const worker = await Worker.create({
    ...(await workflowSource(setup.workflowBundle, config.workflows, dataConverter, log)),
    dataConverter,
    connection: native,
    namespace: temporal.namespace,
    taskQueue: TASK_QUEUE,
    identity: name,
    activities: carried(withoutClash(durable.activities, own)),
    sinks: {
      buffers: {
        size: { fn: (_info, size) => memory.note(size), callDuringReplay: false },
        report: { fn: (_info, report) => reports.note(report), callDuringReplay: false },
      },
    } satisfies InjectedSinks<ShardSinks>,
    maxConcurrentActivityTaskExecutions: ACTIVITY_SLOTS,
    // Few polls: those of a frozen process go on to swallow retries, one heartbeat timeout each.
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
    // No task that skips the queue: the server spreads shifts over the nodes.
    maxEagerActivityReservationsPerWorkflowTask: 0,
    maxHeartbeatThrottleInterval: '2s',
    defaultHeartbeatThrottleInterval: '2s',
    // A dead worker's sticky queue delays its workflows by this.
    stickyQueueScheduleToStartTimeout: '2s',
    shutdownGraceTime: SHUTDOWN_GRACE,
    shutdownForceTime: setup.shutdownForceTime ?? SHUTDOWN_FORCE,
    maxCachedWorkflows: cachedWorkflows(),
  });
  const forget = surviveStrayErrors(node);
  taken.push(() => Promise.resolve(forget()));
  await node.start();
  await confirmEncoding(database, encodes(dataConverter));
  // A pooler has limits of its own.
  if (setup.directDatabaseUrl === undefined) await tellRoom(database, sizes, node.log);
  memory.start();
  const patrol = startPatrol(database, link, node.log, (tracker) => metrics.countMended(tracker));

  let ended: Promise<void> | undefined;
  let ending = false;
  const run = async (): Promise<void> => {
    running = true;
    try {
      await worker.run();
    } catch (error) {
      // The SDK says either, where an activity still works when its time is over.
      const late = error instanceof GracefulShutdownPeriodExpiredError || error instanceof IllegalStateError;
      if (!ending || !late) throw error;
      log.warn('something did not end in time, and was left behind; another worker goes on with it');
    } finally {
      running = false;
      memory.stop();
      for (const close of [
        () => reports.stop(),
        () => patrol.stop(),
        () => durable.close(),
        () => jobNode.close(),
        () => node.close(),
      ]) {
        await inTime(close());
      }
      forget();
      await inTime(Promise.all([native.close(), connection.close(), page.close(), giveNameBack()]));
      await inTime(Promise.all([database.close(), values.close()]));
    }
  };
  return {
    run: () => (ended ??= run()),
    shutdown: async () => {
      ending = true;
      node.drain();
      await Promise.all([drained(node), jobNode.drain()]);
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await ended;
    },
    metricsUrl: page.url,
    node: name,
  };
}

/** Its end, or that it takes too long. */
async function inTime(closing: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CLOSE_MS);
  });
  await Promise.race([Promise.allSettled([closing]), late]).finally(() => clearTimeout(timer));
}

/** Resolves when the node keeps no shift any more, or after a while: what is left is ended by the grace time. */
async function drained(node: Node): Promise<void> {
  const until = Date.now() + 5_000;
  while (node.shifts.size > 0 && Date.now() < until) await sleep(10);
}

function withoutClash(users: object, own: object): object {
  const clash = Object.keys(users).find((name) => Object.hasOwn(own, name));
  if (clash !== undefined) {
    throw new ConfigError([`activities.${clash}: Longwatch has an activity of that name; use another one`]);
  }
  return { ...users, ...own };
}

function connectionOptions({ address, tls, apiKey, metadata }: TemporalTarget) {
  return { address, tls, apiKey, metadata };
}

/**
 * Workflows kept in memory, one for each MiB of the heap limit. One that is not kept is replayed from its history for
 * each task and each query; a pool takes some 80 KB, and what a shard holds is the memory monitor's. The SDK reckons
 * with two MiB each beyond the first 200, which leaves a worker with a heap of 192 MB ten: fewer than the shards of one
 * buffer.
 */
function cachedWorkflows(): number {
  return Math.max(100, Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20));
}

/**
 * The bundle made by `npm run build`, or the sources where there is none (tests), or both sources where the user has
 * own ones.
 */
async function workflowSource(
  given: string | undefined,
  userWorkflows: string | undefined,
  converter: DataConverter | undefined,
  log: Logger,
): Promise<Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'>> {
  // Converters by path are part of the bundle.
  const paths = converter?.payloadConverterPath ?? converter?.failureConverterPath;
  if (given === undefined && (userWorkflows !== undefined || paths !== undefined)) {
    return { workflowBundle: { code: await bundleWorkflows(userWorkflows, log, converter) } };
  }
  const bundle = given ?? path.join(__dirname, '..', 'workflow-bundle.js');
  if (given !== undefined || existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  return { workflowsPath: path.join(__dirname, '..', 'workflows', `index${path.extname(__filename)}`) };
}

/** @throws ConfigError where a bundle that was given has not the converters of this worker. */
function refuseOtherBundle(given: string | undefined, converter: DataConverter | undefined): void {
  if (given === undefined || !existsSync(given)) return;
  if (converter?.payloadConverterPath === undefined && converter?.failureConverterPath === undefined) return;
  const problem = bundleProblem(readFileSync(given, 'utf8'), converter);
  if (problem !== undefined) throw new ConfigError([problem]);
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
