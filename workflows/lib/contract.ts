/**
 * The common part of trackers, buffers and jobs towards the outside: the task queue, the channel of announcements, the
 * search attributes, and what a command answers. Imported by their contracts, by clients and by workers.
 */

/** The one task queue that every worker of a deployment polls, for workflows and activities alike. */
export const TASK_QUEUE = 'longwatch';

/** The PostgreSQL channel on which changes are announced; payload: {@link ChangeNotice} as JSON. */
export const NOTIFY_CHANNEL = 'longwatch';

/** The payload that says to all nodes: something is wanted of one, or one says something that cannot wait. */
export const NODES_CHANGED = '{"nodes": true}';

/** The search attributes that Longwatch's workflows carry, with their Temporal types. */
export const SEARCH_ATTRIBUTES = {
  LongwatchTracker: 'KEYWORD',
  LongwatchPool: 'INT',
  LongwatchMembers: 'INT',
} as const;

export type RunState = 'running' | 'paused' | 'stopped';

export interface CommandResult {
  state: RunState;
  /** False when the tracker was in that state already. */
  changed: boolean;
}

export interface ReconfigureResult {
  changed: boolean;
  version: number;
}
