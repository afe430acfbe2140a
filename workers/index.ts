/** What embeds a worker: `import { createWorker } from 'longwatch/worker'`. */
export { createWorker, type LongwatchWorker, type WorkerSetup } from './worker';
export { loadConfig, type LoadedConfig } from './config/load';
export { resolveConfig, type ResolvedConfig, type ResolvedTracker } from './config/resolve';
export { migrate, type OwnMigrations } from './migrate';
export { bundleWorkflows } from './bundle';
export { createDurableActivities, type DurableSetup } from './durable';
