/**
 * The parts of a worker, made from what it is given, and the order in which they start: each needs those before it.
 * Nothing is opened here. Called by `worker.ts`, which starts them, has them run and stops them in reverse.
 */
import { hostname } from 'node:os';
import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { InjectedSinks } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createActivities } from '../activities/tracker';
import { BufferMetrics, createBufferActivities, heapUse, MemoryMonitor, ShardReports } from '../activities/buffer';
import { noteReports, readReports } from '../activities/buffer/store/buffers';
import { JobNode } from '../activities/job/node';
import { Database, OWN_LIMITS } from '../activities/lib/database';
import { claimDeployment, ensureSearchAttributes } from '../activities/lib/deployment';
import { confirmEncoding, encodes } from '../activities/lib/encoding';
import { ourLog } from '../activities/lib/log';
import { service, type Service } from '../activities/lib/service';
import { TemporalLink } from '../activities/lib/temporal';
import { carried } from '../activities/lib/wire';
import { Patrol } from '../activities/patrol';
import type { Node } from '../activities/tracker/shift/node';
import { NodeMetrics } from '../activities/tracker/telemetry';
import { refuseIgnoredCodec, wholeConverter } from '../config/data-converter';
import type { ShardSinks } from '../workflows/buffer/contract';
import { checkAddress } from '../config/environment';
import { ConfigError } from '../config/errors';
import type { ResolvedConfig } from '../config/resolve/config';
import { withTlsProblem } from '../config/temporal-tls';
import { budgetOf, hasLimits, withoutLimits } from './budget';
import { KIT_CONNECTIONS, poolSizes, tellRoom, type PoolSizes } from './connection-budget';
import { durableNode, workflowsOf } from './durable';
import { MetricsPage } from './metrics';
import { hasHandlers, ownNode, type OwnNode } from './own-node';
import type { Wants } from './permits';
import { readiness } from './readiness';
import { installRuntime } from './runtime';
import { checkSchema } from './schema';
import { tellServer } from './server-check';
import type { WorkerSetup } from './setup';
import { StrayErrors } from './stray-errors';
import { connectionOptions, Tasks } from './tasks';
import { refuseOtherBundle, workflowCode } from './workflow-source';

export interface WorkerParts {
  name: string;
  log: Logger;
  node: Node;
  jobs: JobNode;
  page: MetricsPage;
  tasks: Tasks;
  /** All of them, in the order of their start. */
  services: Service[];
}

/** The things that the other parts have in common. */
interface Basis {
  setup: WorkerSetup;
  /** The node's name. */
  name: string;
  log: Logger;
  dataConverter: DataConverter | undefined;
  connection: Connection;
  link: TemporalLink;
  database: Database;
  metrics: NodeMetrics;
  sizes: PoolSizes;
  workflowCode: ReturnType<typeof workflowCode>;
  /** The port of the SDK's own metrics, once its runtime is installed. */
  sdkPort?: number;
}

/** @throws ConfigError, EnvironmentError, CodecError where something is wrong that shows before anything is opened. */
export function partsOf(setup: WorkerSetup): WorkerParts {
  const basis = basisOf(setup);
  const { name, database, link, metrics } = basis;
  const page = pageOf(basis, () => tasks.isRunning);
  const log = basis.log.child({ node: name });
  const { registry } = basis.metrics;
  const budget = budgetOf(setup, name, log, { clock: () => own.node.clock, registry });
  const config = budget?.config ?? setup.config;
  const address = addressOf(basis);
  const own: OwnNode = ownNode({ ...basis, address, metricsUrl: () => page.url, config, spender: budget?.spender });
  const { node } = own;
  // It is there before it works: workflows are loaded meanwhile, and `run` is called by whoever has made the worker.
  node.take(false);
  const durable = durableOf(basis, log, config);
  const jobs = jobsOf(basis, log, config);
  const buffers = buffersOf(basis, log, config);
  const ours = {
    ...createActivities({ node, database, temporal: link, log }),
    ...buffers.activities,
    ...jobs.activities,
  };
  const activities = carried(withoutClash(durable.activities, ours));
  const tasks = tasksOf(basis, node, activities, buffers.sinks);
  const services = [
    ...servicesOf(basis, own.claim),
    page,
    ...own.before,
    jobs,
    durable.services,
    node,
    // Before anything spends; it reads the node's clock.
    budget?.service ?? withoutLimits(),
    new StrayErrors(node),
    service({ start: () => confirm(basis, log) }),
    buffers.reports,
    buffers.memory,
    new Patrol(database, link, log, (tracker) => metrics.countMended(tracker)),
    // The last one: its tasks are done by all others.
    tasks,
  ];
  return { name, log: basis.log, node, jobs, page, tasks, services };
}

function pageOf(basis: Basis, running: () => boolean): MetricsPage {
  const { setup, log, metrics, database, link } = basis;
  return new MetricsPage(metrics.registry, readiness(running, database, link), log, setup.metrics, () => basis.sdkPort);
}

function basisOf(setup: WorkerSetup): Basis {
  const { config, temporal } = setup;
  const log = ourLog(setup.log);
  const dataConverter = wholeConverter(setup.dataConverter ?? config.dataConverter);
  refuseIgnoredCodec(temporal, dataConverter);
  refuseOtherBundle(setup.workflowBundle, dataConverter);
  checkAddress(setup.databaseUrl, 'databaseUrl');
  if (setup.directDatabaseUrl !== undefined) checkAddress(setup.directDatabaseUrl, 'directDatabaseUrl');
  const connection = Connection.lazy(connectionOptions(temporal));
  return {
    setup,
    name: setup.nodeName ?? `${hostname()}-${process.pid}-${Math.random().toString(36).slice(2, 6)}`,
    log,
    dataConverter,
    connection,
    link: new TemporalLink(new Client({ connection, namespace: temporal.namespace, dataConverter })),
    database: new Database({ ...addressOf({ setup, log }), ...OWN_LIMITS, connections: KIT_CONNECTIONS }),
    metrics: new NodeMetrics(),
    sizes: poolSizes({
      durableActivities: config.activities.length,
      jobs: config.jobs.map(({ options }) => options.concurrency),
      hasLimits: hasLimits(config),
      handlers: hasHandlers(config),
      receives: config.trackers.some(({ options }) => options.receive !== undefined),
      activityConnections: setup.activityConnections,
      jobConnections: setup.jobConnections,
    }),
    workflowCode: workflowCode({
      workflowBundle: setup.workflowBundle,
      userWorkflows: config.workflows,
      dataConverter,
      log,
    }),
  };
}

const addressOf = ({ setup, log }: Pick<Basis, 'setup' | 'log'>) => ({
  url: setup.databaseUrl,
  directUrl: setup.directDatabaseUrl,
  log,
});

/** The two servers, and whether this worker may work on them. */
function servicesOf(basis: Basis, claim: Service): Service[] {
  const { setup, database, connection, log } = basis;
  const { namespace } = setup.temporal;
  const encoded = encodes(basis.dataConverter);
  const connect = (): Promise<void> =>
    connection.ensureConnected().catch(async (error: unknown) => {
      throw await withTlsProblem(error, setup.temporal);
    });
  const mayWork = async (): Promise<void> => {
    await checkSchema(database);
    await tellServer(connection, namespace, log);
    await ensureSearchAttributes(connection, namespace, log);
    await claimDeployment(database, connection, namespace, setup.adopt ?? false, encoded);
  };
  return [
    service({ stop: () => database.close() }),
    service({ start: connect, stop: () => connection.close() }),
    service({ start: mayWork }),
    // Before the node is there: a user's workflows take the event loop for seconds, which would look like a stall.
    service({ start: async () => void (await basis.workflowCode()) }),
    claim,
    // Only now: its threads would keep a process that was refused above from ending.
    service({ start: async () => (basis.sdkPort = await installRuntime(log)) }),
  ];
}

/** Once the node is there to be counted. */
async function confirm({ setup, database, dataConverter, sizes }: Basis, log: Logger): Promise<void> {
  await confirmEncoding(database, encodes(dataConverter));
  // A pooler has limits of its own.
  if (setup.directDatabaseUrl === undefined) await tellRoom(database, sizes, log);
}

function durableOf({ setup, name, database, link, metrics }: Basis, log: Logger, config: ResolvedConfig) {
  return durableNode(config.activities, {
    databaseUrl: setup.databaseUrl,
    directDatabaseUrl: setup.directDatabaseUrl,
    database,
    owner: name,
    log,
    connections: setup.activityConnections,
    registry: metrics.registry,
    workflows: workflowsOf(link),
  });
}

function jobsOf({ setup, name, link, metrics, sizes }: Basis, log: Logger, config: ResolvedConfig): JobNode {
  return new JobNode({
    nodeName: name,
    databaseUrl: setup.databaseUrl,
    directDatabaseUrl: setup.directDatabaseUrl,
    jobs: config.jobs,
    temporal: link,
    log,
    registry: metrics.registry,
    connections: sizes.jobs || undefined,
  });
}

function tasksOf(
  { setup, name, log, dataConverter, workflowCode: code }: Basis,
  node: Node,
  activities: object,
  sinks: InjectedSinks<ShardSinks>,
): Tasks {
  const wants = (queue: keyof Node['opens']): Wants => ({
    get isOpen() {
      return node.opens[queue];
    },
    listen: (changed) => node.onOpens(changed),
  });
  return new Tasks({
    temporal: setup.temporal,
    identity: name,
    labels: setup.labels ?? [],
    wants: { shared: wants('shared'), own: wants('own') },
    activities,
    sinks,
    dataConverter,
    workflowCode: code,
    shutdownForceTime: setup.shutdownForceTime,
    failed: () => node.drain(),
    log,
  });
}

/** The activities of buffers, and those that hear by sinks what shards say of themselves. */
function buffersOf({ name, database, link, metrics }: Basis, log: Logger, config: ResolvedConfig) {
  const activities = createBufferActivities({
    node: name,
    database,
    temporal: link,
    definitions: new Map(config.buffers.map(({ name: buffer, definition }) => [buffer, definition])),
    metrics: new BufferMetrics(metrics.registry, () => database.transaction(readReports)),
    log,
  });
  const memory = new MemoryMonitor({
    heap: heapUse(),
    tell: (buffer, shard, wish) => link.tellMemory(buffer, shard, wish),
    log,
    registry: metrics.registry,
  });
  const reports = new ShardReports((all) => database.transaction((db) => noteReports(db, all)), log);
  const sinks: InjectedSinks<ShardSinks> = {
    buffers: {
      size: { fn: (_info, size) => memory.note(size), callDuringReplay: false },
      report: { fn: (_info, report) => reports.note(report), callDuringReplay: false },
    },
  };
  return { activities, memory, reports, sinks };
}

function withoutClash(users: object, own: object): object {
  const clash = Object.keys(users).find((name) => Object.hasOwn(own, name));
  if (clash !== undefined) {
    throw new ConfigError([`activities.${clash}: Longwatch has an activity of that name; use another one`]);
  }
  return { ...users, ...own };
}
