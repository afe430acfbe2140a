/** The tests' activities for a worker that is a process of its own. */
import { defineConfig } from 'longwatch';
import * as activities from './activities';

export default defineConfig({ activities, workflows: './workflows.ts' });
