/** What embeds a worker: `import { createWorker } from 'longwatch/worker'`. */
export { createWorker, type LongwatchWorker, type WorkerSetup } from './worker';
export { loadConfig, type LoadedConfig } from '../config/load';
export { type ResolvedTracker } from '../config/resolve/tracker';
export { migrate, type OwnMigrations } from './migrate';
export { bundleWorkflows } from './bundle';
export { createDurableActivities, type DurableSetup } from './durable';
export { resolveConfig } from '../config/resolve/config';
export type { ResolvedConfig } from '../config/resolve/config';
