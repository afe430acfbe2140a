/** A node of the chat as a process, to be killed. Started by `../eve/nodes/processes.ts`. */
import path from 'node:path';
import { runNode } from '../eve/nodes/run-node';

runNode(path.join(__dirname, 'longwatch.config.ts'));
