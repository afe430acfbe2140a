/** A process with a dashboard alone, as `longwatch dashboard` has it: asked by `bench/scenarios/dashboard/page.ts`. */
import type { Environment } from '../../config/environment';
import { createDashboard } from '../../http/app';
import { serveDashboard, type Served } from '../../http/serve';
import { serve } from '../harness/child';

let served: Served | undefined;

serve({
  start: async (environment: Environment): Promise<string> => {
    served = await serveDashboard(createDashboard({ environment, open: true }), { host: '127.0.0.1', port: 0 });
    return served.url;
  },
  /** Processor time of this process so far, user and system, milliseconds. */
  cpu: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
});
