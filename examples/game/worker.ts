/**
 * A worker of the example as a process, to be killed: `main.ts` starts it with the servers and settings in its
 * environment.
 */
import path from 'node:path';
import { runWorker } from '../worker-process';

runWorker({ config: path.join(__dirname, 'longwatch.config.ts'), log: process.env.GAME_LOG });
