/** A worker of the example as a process: `main.ts` starts it with the servers and the node in its environment. */
import path from 'node:path';
import { runWorker } from '../worker-process';

runWorker({ config: path.join(__dirname, 'longwatch.config.ts'), log: process.env.BLOCKS_LOG });
