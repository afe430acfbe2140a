/**
 * A worker that stops itself in the middle of a flush when a file says so: SIGSTOP, as a machine that is paused would.
 */
import { existsSync, rmSync } from 'node:fs';
import { setPointHook } from '../../activities/lib/points';
import { defineConfig, defineTracker } from '../../exports';

const flag = process.env.FREEZE_WHEN;
if (flag !== undefined) {
  setPointHook((point) => {
    if (point !== 'flush.locked' || !existsSync(flag)) return;
    rmSync(flag);
    process.kill(process.pid, 'SIGSTOP');
  });
}

export const things = defineTracker({
  name: 'things',
  poolSize: 10,
  operations: { look: { every: '1s', run: ({ id }) => ({ value: `${id} ${Date.now()}` }) } },
});

export default defineConfig({ trackers: [things] });
