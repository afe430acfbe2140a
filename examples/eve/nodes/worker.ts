/** A node as a process, to be killed: `processes.ts` starts it with its name and the servers in its environment. */
import path from 'node:path';
import { runWorker } from '../../worker-process';
import { SETTINGS } from './settings';

runWorker({
  config: path.join(__dirname, 'longwatch.config.ts'),
  log: process.env.BEATS_LOG,
  nodeName: process.env[SETTINGS.node],
});
