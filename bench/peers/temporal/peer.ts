/**
 * Polling with Temporal as one would first think of it, beside Longwatch: on the same server, in a worker of its own.
 */
import path from 'node:path';
import type { Client } from '@temporalio/client';
import type { Stack } from '../../../test/support/stack';
import type { Bench } from '../../harness/bench';
import { numbered } from '../../tracker/watch';
import { PEER_TABLE } from '../store';
import type * as workflows from './workflows';

const EVERY_MS = 1_000;
/** Starts under way at once. */
const AT_ONCE = 16;

export class PeerWorker {
  /** @param origin the upstream; without one, values are made up. */
  static async start(bench: Bench, stack: Stack, origin?: string): Promise<PeerWorker> {
    await stack.sql(PEER_TABLE);
    const child = await bench.child(path.join(__dirname, 'peer-process.ts'));
    await child.call('start', stack.servers.temporalAddress, stack.servers.databaseUrl, origin ?? null);
    return new PeerWorker();
  }

  /** A workflow an id. */
  async watchOnes(client: Client, count: number): Promise<void> {
    await startAll(numbered(count), (id) =>
      client.workflow.start<typeof workflows.watchOne>('watchOne', {
        workflowId: `one-${id}`,
        taskQueue: 'peer',
        args: [id, EVERY_MS],
      }),
    );
  }

  /** A workflow a pool of `size` ids, an activity a tick. */
  async watchPools(client: Client, pools: number, size: number): Promise<void> {
    await startAll(numbered(pools), (pool) =>
      client.workflow.start<typeof workflows.watchMany>('watchMany', {
        workflowId: `many-${pool}`,
        taskQueue: 'peer',
        args: [numbered(size, `${pool}-`), EVERY_MS],
      }),
    );
  }

  /** Ends all workflows of a type, so that the next measurement has the server for itself. */
  async end(client: Client, type: string): Promise<void> {
    const query = `WorkflowType = "${type}" and ExecutionStatus = "Running"`;
    const ids: string[] = [];
    for await (const { workflowId } of client.workflow.list({ query })) ids.push(workflowId);
    await startAll(ids, (id) => client.workflow.getHandle(id).terminate());
  }
}

async function startAll(names: string[], start: (name: string) => Promise<unknown>): Promise<void> {
  const waiting = names[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (const name of waiting) await start(name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}
