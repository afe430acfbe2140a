/** The example's config: durable activities and the workflow that calls them; no tracker. */
import { defineConfig } from 'longwatch';
import { pay, reserve, ship } from './activities';

export default defineConfig({ activities: [pay, reserve, ship], workflows: './workflows.ts' });
