/**
 * A node as a process, to be killed: `processes.ts` starts it with its name and the servers in its environment, and may
 * tell it to stop itself where it harms most.
 */
import path from 'node:path';
import { setPointHook } from '../../../activities/lib/points';
import { runWorker } from '../../worker-process';
import { SETTINGS } from './settings';

/** It holds the fences of its pools then. */
const IN_A_FLUSH = 'flush.locked';

process.on('message', () => {
  setPointHook(async (point) => {
    if (point !== IN_A_FLUSH) return;
    setPointHook(undefined);
    await new Promise<void>((said) => process.send!('frozen', () => said()));
    process.kill(process.pid, 'SIGSTOP');
  });
});

runWorker({
  config: path.join(__dirname, 'longwatch.config.ts'),
  log: process.env.BEATS_LOG,
  nodeName: process.env[SETTINGS.node],
  workflowBundle: process.env[SETTINGS.bundle],
});
