/**
 * The durable activities of a worker: Longwatch's own (`parts.ts` calls `durableNode` for the config's `activities`),
 * or one of the user's making (`createDurableActivities`, registered with a plain Temporal worker).
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Workflows } from '../activities/durable/call';
import { createDurableNode, type DurableFunction, type DurableNode } from '../activities/durable';
import type { RetentionOptions } from '../activities/durable/retention';
import { ourLog } from '../activities/lib/log';
import { Database } from '../activities/lib/database';
import { service, Services } from '../activities/lib/service';
import { TemporalLink } from '../activities/lib/temporal';
import type { ResolvedActivity } from '../config/define/activity';
import { checkAddress } from '../config/environment';
import { ConfigError } from '../config/errors';
import { resolveActivities, type ActivityList } from '../config/resolve/activity';
import { checkSchema } from './schema';

export interface DurableSetup {
  databaseUrl: string;
  /** The server's own address for LISTEN, where `databaseUrl` is that of a pooler in transaction mode. */
  directDatabaseUrl?: string;
  log: Logger;
  /** Asked which run of a workflow is the current one. */
  client: Client;
  /** Effects in transactions at once. @default 10 */
  connections?: number;
  /** The registry of the metrics. @default nowhere */
  registry?: Registry;
  retention?: RetentionOptions;
  /** @default host, process id and a random part */
  owner?: string;
}

const DEFAULT_CONNECTIONS = 10;

/** The questions of the kit to Temporal. */
export const workflowsOf = (link: TemporalLink): Workflows => ({
  isCurrent: (workflowId, runId) => link.isCurrent(workflowId, runId),
  isPending: (workflowId, runId, activityId) => link.isPending(workflowId, runId, activityId),
  isRunning: (workflowId) => link.isRunning(workflowId),
});

export interface DurableActivities {
  activities: Record<string, DurableFunction>;
  close: () => Promise<void>;
}

/**
 * For a worker of one's own: `Worker.create({ activities: durable.activities, … })`, and `close` when it has ended.
 * @throws ConfigError for the definitions, EnvironmentError for an address, SchemaError where the schema is of another
 *   version.
 */
export async function createDurableActivities(
  definitions: ActivityList,
  setup: DurableSetup,
): Promise<DurableActivities> {
  const problems: string[] = [];
  const resolved = resolveActivities(definitions, problems);
  if (problems.length > 0) throw new ConfigError(problems, 'The activities cannot be used:');
  checkAddress(setup.databaseUrl, 'databaseUrl');
  if (setup.directDatabaseUrl !== undefined) checkAddress(setup.directDatabaseUrl, 'directDatabaseUrl');
  const log = ourLog(setup.log);
  const database = new Database({ url: setup.databaseUrl, directUrl: setup.directDatabaseUrl, log });
  const link = new TemporalLink(setup.client);
  const node = durableNode(resolved, {
    ...setup,
    log,
    database,
    owner: setup.owner ?? `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`,
    workflows: workflowsOf(link),
  });
  const services = new Services([
    service({ start: () => checkSchema(database), stop: () => database.close() }),
    node.services,
  ]);
  await services.start();
  return {
    activities: node.activities,
    close: () => services.stop(),
  };
}

/** Works once its services have started. */
export function durableNode(
  resolved: readonly ResolvedActivity[],
  setup: Omit<DurableSetup, 'client' | 'owner'> & {
    owner: string;
    database: Database;
    workflows: Workflows;
  },
): DurableNode {
  const connections = setup.connections ?? DEFAULT_CONNECTIONS;
  // Apart from the kit's own: an effect that takes long must not keep a lease from being renewed.
  const { databaseUrl: url, directDatabaseUrl: directUrl } = setup;
  const { owner, database, log, workflows, registry, retention } = setup;
  const effects = new Database({ url, directUrl, log, connections, statementTimeoutMs: 60_000 });
  const node = createDurableNode(resolved, {
    owner,
    database,
    effects: { database: effects, connections },
    log,
    workflows,
    registry,
    retention,
  });
  return {
    ...node,
    services: new Services([service({ stop: () => effects.close() }), node.services]),
  };
}
