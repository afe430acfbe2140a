/** For programs that embed a worker: `import { createWorker } from 'longwatch/worker'`. */
export { createWorker, type LongwatchWorker, type WorkerSetup } from '../workers/worker';
export { loadConfig, type LoadedConfig } from '../config/load';
export { type ResolvedTracker } from '../config/resolve/tracker';
export { migrate, type OwnMigrations } from '../workers/migrate';
export { bundleWorkflows } from '../workers/bundle';
export { createDurableActivities, type DurableSetup } from '../workers/durable';
export { resolveConfig } from '../config/resolve/config';
export type { ResolvedConfig } from '../config/resolve/config';
