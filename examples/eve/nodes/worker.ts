/** A node of `main.ts` as a process, to be killed. Started by `processes.ts`. */
import path from 'node:path';
import { runNode } from './run-node';

runNode(path.join(__dirname, 'longwatch.config.ts'));
