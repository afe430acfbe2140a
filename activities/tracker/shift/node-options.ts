/** All that a node (`node.ts`) is made of. Given by `workers/own-node.ts`. */
import type { Logger } from 'pino';
import type { TrackerDefinition } from '../../../config/define/tracker';
import type { BufferFeed } from '../../buffer/feed';
import type { Database } from '../../lib/database';
import type { Spender } from '../../upstream/budget/spender';
import type { NodeRow } from '../store/nodes';
import type { NodeMetrics } from '../telemetry';
import type { Isolation } from './isolate';
import type { PresenceSetup } from './presence';
import type { Watchdog } from './watchdog';

export interface NodeOptions {
  row: NodeRow;
  database: Database;
  /** The flush's own: one connection that nobody else can take. @default database, for tests */
  values?: Database;
  /** The node's part in the cluster: its row's connection, its claim. */
  presence?: Omit<PresenceSetup, 'database'>;
  trackers: readonly TrackerDefinition[];
  log: Logger;
  metrics: NodeMetrics;
  isolation: Isolation;
  watchdog: Watchdog | undefined;
  /** Runs of all pools at once. */
  nodeConcurrency: number;
  /** Keeps the limits of upstreams. */
  spender?: Spender | undefined;
  /** The place of values that operations feed to buffers. */
  buffers?: BufferFeed;
  /** Others for what members push: each kind of transaction has its own. */
  newFeed?: () => BufferFeed;
  /** Connections for handlers that have transactions of their own. @default database, for tests */
  handlers?: Database | undefined;
}
