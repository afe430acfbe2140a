/**
 * The process of a node that `processes.ts` starts with its name and the servers in its environment, and may tell to
 * stop itself where it harms most. Called by the `worker.ts` of each example that has such nodes.
 */
import { setPointHook } from '../../../activities/lib/points';
import { runWorker } from '../../worker-process';
import { SETTINGS } from './settings';

/** It holds the fences of its pools then. */
const IN_A_FLUSH = 'flush.locked';

/** @param config absolute */
export function runNode(config: string): void {
  process.on('message', () => {
    setPointHook(async (point) => {
      if (point !== IN_A_FLUSH) return;
      setPointHook(undefined);
      await new Promise<void>((said) => process.send!('frozen', () => said()));
      process.kill(process.pid, 'SIGSTOP');
    });
  });
  runWorker({
    config,
    log: process.env.BEATS_LOG,
    nodeName: process.env[SETTINGS.node],
    workflowBundle: process.env[SETTINGS.bundle],
  });
}
