/** The Temporal peers' worker, with its workflows (`workflows.ts`) and the activity that fetches and upserts. */
import path from 'node:path';
import { NativeConnection, Worker } from '@temporalio/worker';
import { serve } from '../../harness/child';
import { peerStore, type PeerStore } from '../store';

export type PeerActivities = Pick<PeerStore, 'fetchIds'>;

serve({
  start: async (address: string, databaseUrl: string, origin: string | null) => {
    const activities: PeerActivities = peerStore(databaseUrl, origin ?? undefined);
    const worker = await Worker.create({
      connection: await NativeConnection.connect({ address }),
      taskQueue: 'peer',
      workflowsPath: path.join(__dirname, 'workflows.ts'),
      activities: { ...activities },
      maxCachedWorkflows: 2_000,
    });
    void worker.run();
  },
});
