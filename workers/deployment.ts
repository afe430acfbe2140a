/**
 * Before a worker takes any task: the namespace has Longwatch's search attributes, and the database belongs to this Temporal
 * cluster. Two clusters that share one database would each start a workflow for every pool, and each would believe to be the
 * current one; so the first to come is noted, and another is refused until it is told to adopt the database.
 */
import type { Connection } from '@temporalio/client';
import { failure } from '../activities/failures';
import { run, type Database, type Statement } from '../activities/store/database';
import { ErrorType } from '../workflows/lib/errors';
import { SEARCH_ATTRIBUTES } from '../workflows/tracker/contract';

const NOTE: Statement = {
  name: 'deployment-note',
  text: `insert into longwatch.deployment (cluster_id, namespace) values ($1, $2)
         on conflict (only_one) do update
         set cluster_id = excluded.cluster_id, namespace = excluded.namespace, adopted_at = now()
         where $3`,
};
const READ: Statement = { name: 'deployment-read', text: `select cluster_id, namespace from longwatch.deployment` };

/** @throws ForeignDeployment when the database belongs to another cluster and `adopt` is not set. */
export async function claimDatabase(
  database: Database,
  connection: Connection,
  namespace: string,
  adopt: boolean,
): Promise<void> {
  const { clusterId } = await connection.workflowService.getClusterInfo({});
  const { namespaceInfo } = await connection.workflowService.describeNamespace({ namespace });
  // A namespace's id is of one cluster alone, also where several servers report the same cluster id.
  const id = `${clusterId}/${namespaceInfo?.id ?? ''}`;
  await database.transaction(async (db) => {
    await run(db, NOTE, [id, namespace, adopt]);
    const [row] = await run<{ cluster_id: string; namespace: string }>(db, READ);
    if (row!.cluster_id === id) return;
    throw failure(
      ErrorType.ForeignDeployment,
      `this database belongs to another Temporal (namespace ${row!.namespace}); if that one is gone for good, ` +
        'start one worker with --adopt',
    );
  });
}

/** Adds what is missing. Temporal Cloud refuses this to workers: there the attributes are made by hand, once. */
export async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = Object.entries(SEARCH_ATTRIBUTES).filter(([name]) => !(name in (customAttributes ?? {})));
  if (missing.length === 0) return;
  await connection.operatorService.addSearchAttributes({
    namespace,
    searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, INDEXED_VALUE_TYPE[type]])),
  });
}

/** temporal.api.enums.v1.IndexedValueType */
const INDEXED_VALUE_TYPE = { KEYWORD: 2, INT: 3 } as const;
