/** The worker of the peer: a workflow a member, with updates (`entity-workflows.ts`). */
import path from 'node:path';
import { NativeConnection, Worker } from '@temporalio/worker';
import { serve } from '../harness/child';

serve({
  start: async (address: string) => {
    const worker = await Worker.create({
      connection: await NativeConnection.connect({ address }),
      taskQueue: 'entities',
      workflowsPath: path.join(__dirname, 'entity-workflows.ts'),
      maxCachedWorkflows: 5_000,
    });
    void worker.run();
  },
});
