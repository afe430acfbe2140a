/**
 * Before a worker takes any task: the namespace has Longwatch's search attributes, and the database and the namespace
 * belong to each other. Two clusters that share one database would each start a workflow for every pool, and each would
 * believe to be the current one; two databases in one namespace would take each other's shifts and fail them. So the
 * first to come is noted on both sides, and another is refused until it is told to adopt what it found.
 */
import {
  Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type Connection,
  type ConnectionLike,
} from '@temporalio/client';
import type { Logger } from 'pino';
import { writeAudit, actorOf } from './audit';
import { failure } from './failures';
import { run, type Database, type Queryable, type Statement } from './database';
import { ErrorType } from '../../workflows/lib/errors';
import { claimEncoding, type Encoded } from './encoding';
import { SEARCH_ATTRIBUTES } from '../../workflows/lib/contract';

const NOTE: Statement = {
  name: 'deployment-note',
  text: `insert into longwatch.deployment (cluster_id, namespace) values ($1, $2)
         on conflict (only_one) do update
         set cluster_id = excluded.cluster_id, namespace = excluded.namespace, adopted_at = now(),
             -- What is there now was written by nobody of this database.
             encoded = case when deployment.cluster_id = excluded.cluster_id then deployment.encoded end
         where $3`,
};
const READ: Statement = {
  name: 'deployment-read',
  text: `select cluster_id, namespace, id, encoded, (select oid::text from pg_database where datname = current_database()) as oid
         from longwatch.deployment`,
};
/** Not every hosted server lets everybody ask for it. */
const SYSTEM: Statement = {
  name: 'deployment-system',
  text: `select system_identifier::text as system from pg_control_system()`,
};

/**
 * A database, told from its copies: `id` lies in it, the others are the server's. A copy by dump, or from a template,
 * has the same `id`, a server that was promoted has the same of all three.
 */
interface DatabaseIdentity {
  id: string;
  oid: string;
  system: string | null;
}

/**
 * The namespace's note is a workflow of this id that nobody works on and that never ends: the one thing that can be
 * made only once, with the rights that a worker has anyway, on any server.
 */
const NOTE_ID = 'longwatch-deployment';

/**
 * @param encoded whether this worker has a codec.
 * @throws ForeignDeployment when the database or the namespace belongs to another one and `adopt` is not set;
 *   EncodingError.
 */
export async function claimDeployment(
  database: Database,
  connection: Connection,
  namespace: string,
  adopt: boolean,
  encoded: boolean,
): Promise<void> {
  const { clusterId } = await connection.workflowService.getClusterInfo({});
  const { namespaceInfo, isGlobalNamespace } = await connection.workflowService.describeNamespace({ namespace });
  // A namespace's id is of one cluster alone, also where several servers report the same cluster id. A global one is in
  // several clusters under the same id: after a failover it is still the one that it was.
  const cluster = `${isGlobalNamespace ? GLOBAL : clusterId}/${namespaceInfo?.id ?? ''}`;
  const system = await systemOf(database);
  await database.transaction(async (db) => {
    const [before] = adopt ? await run<DeploymentRow>(db, READ) : [];
    await run(db, NOTE, [cluster, namespace, adopt]);
    const [row] = await run<DeploymentRow>(db, READ);
    if (!sameNamespace(row!.cluster_id, cluster)) {
      throw failure(
        ErrorType.ForeignDeployment,
        `this database belongs to another Temporal (namespace ${row!.namespace}); if that one is gone for good, ` +
          'start one worker with --adopt',
      );
    }
    await claimEncoding(db, encoded, row!.encoded);
    // Within the transaction: a database that the namespace refuses is left as it was.
    const identity = { id: row!.id, oid: row!.oid, system };
    const took = await claimNamespace(connection, namespace, identity, adopt);
    // A worker that is always started with --adopt has mostly nothing to adopt.
    if (took || (before && !sameNamespace(before.cluster_id, cluster))) await noteAdoption(db, before, row!, took);
  });
}

/** Together with what it tells of: it commits with the claim. */
async function noteAdoption(
  db: Queryable,
  before: DeploymentRow | undefined,
  after: DeploymentRow,
  took: boolean,
): Promise<void> {
  const shown = ({ cluster_id: temporal, namespace }: DeploymentRow) => ({ temporal, namespace });
  await writeAudit(
    db,
    {
      ...actorOf(undefined, 'cli'),
      what: 'worker --adopt',
      subject: `deployment/${after.namespace}`,
      before: before && shown(before),
      after: { ...shown(after), ...(took ? { namespaceOf: 'another database' } : {}) },
    },
    'done',
  );
}

/** In place of a cluster's id. */
const GLOBAL = 'global';

/**
 * Both as `cluster/namespace`. Before this version, or before it was made global, a namespace was noted with its
 * cluster.
 */
function sameNamespace(noted: string, seen: string): boolean {
  const [, id] = seen.split('/');
  return noted === seen || (seen.startsWith(`${GLOBAL}/`) && id !== '' && noted.endsWith(`/${id}`));
}

interface DeploymentRow {
  cluster_id: string;
  namespace: string;
  id: string;
  oid: string;
  encoded: Encoded;
}

async function systemOf(database: Database): Promise<string | null> {
  try {
    return (await database.rows<{ system: string }>(SYSTEM))[0]?.system ?? null;
  } catch (error) {
    // No right to it, or a server that is only like PostgreSQL.
    if (/^(42|0A)/.test(String((error as { code?: unknown }).code))) return null;
    throw error;
  }
}

/** @returns whether it was another database's. */
async function claimNamespace(
  connection: Connection,
  namespace: string,
  identity: DatabaseIdentity,
  adopt: boolean,
): Promise<boolean> {
  // A client without a codec: the note is not a secret, and a worker that has other keys must be able to read it.
  const { workflow } = new Client({ connection, namespace });
  for (let tries = 1, took = false; ; tries++) {
    try {
      await workflow.start('deployment', {
        workflowId: NOTE_ID,
        taskQueue: NOTE_ID,
        memo: { database: identity },
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        staticSummary: 'which Longwatch database this namespace belongs to; leave it',
      });
      return took;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
    const owner = await ownerOf(new Client({ connection, namespace }));
    if (owner && same(owner, identity)) return took;
    if (owner && !adopt) throw foreign(namespace);
    // It is adopted; or it has ended in this moment.
    if (tries === 3) throw foreign(namespace);
    took = owner !== undefined;
    await workflow
      .getHandle(NOTE_ID)
      .terminate('another database has adopted this namespace')
      .catch((error: unknown) => {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      });
  }
}

/** Asks by a client without a codec. @returns the database that the namespace belongs to; undefined: none yet. */
async function ownerOf({ workflow }: Client): Promise<DatabaseIdentity | undefined> {
  try {
    const { memo, status } = await workflow.getHandle(NOTE_ID).describe();
    return status.name === 'RUNNING' ? (memo?.database as DatabaseIdentity | undefined) : undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/**
 * For a client that is about to start something: whether the namespace belongs to another database than its own.
 * Nothing is claimed, and what cannot be told is not held against it.
 */
export async function namespaceIsForeign(
  database: Database,
  connection: ConnectionLike,
  namespace: string,
): Promise<boolean> {
  const owner = await ownerOf(new Client({ connection, namespace }));
  if (!owner) return false;
  const [row] = await database.rows<DeploymentRow>(READ);
  return !row || !same(owner, { id: row.id, oid: row.oid, system: await systemOf(database) });
}

export const foreignMessage = (namespace: string): string =>
  `the namespace ${namespace} belongs to another Longwatch database; give this one a namespace of its own (--namespace), ` +
  'or, if that database is gone for good, start one worker with --adopt';

const foreign = (namespace: string) => failure(ErrorType.ForeignDeployment, foreignMessage(namespace));

function same(one: DatabaseIdentity, other: DatabaseIdentity): boolean {
  const systems = one.system === null || other.system === null || one.system === other.system;
  return one.id === other.id && one.oid === other.oid && systems;
}

/**
 * Adds what is missing. A key that may only work in its namespace (as Temporal Cloud's do) cannot: there the attributes
 * are made by hand, once, and a start of something that needs them says which one is missing.
 */
export async function ensureSearchAttributes(connection: Connection, namespace: string, log: Logger): Promise<void> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = Object.entries(SEARCH_ATTRIBUTES).filter(([name]) => !(name in (customAttributes ?? {})));
    if (missing.length === 0) return;
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, INDEXED_VALUE_TYPE[type]])),
    });
  } catch (error) {
    if (!REFUSED.has(Number((error as { code?: unknown }).code))) throw error;
    const names = Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => `${name} (${type.toLowerCase()})`);
    log.warn(`this key may not look at search attributes: the namespace must have ${names.join(' and ')}`);
  }
}

/** gRPC: PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED for this service alone. */
const REFUSED = new Set([7, 12, 16]);
/** temporal.api.enums.v1.IndexedValueType */
const INDEXED_VALUE_TYPE = { KEYWORD: 2, INT: 3 } as const;
