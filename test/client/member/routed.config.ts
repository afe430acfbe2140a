/** For `routed.test.ts`: members that a route places. */
import { defineConfig, defineTracker } from 'longwatch';

export const routed = defineTracker({
  name: 'routed',
  operations: {},
  route: { name: 'initial', of: (id: string) => id.slice(0, 1) },
  receive: () => undefined,
});

export default defineConfig({ trackers: [routed] });
