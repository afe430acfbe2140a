/**
 * The activities of buffers: what `workflows/buffer` calls, given what they need. Called by `workers/parts.ts` once a
 * process.
 */
import type { BufferActivities } from '../../workflows/buffer/activities';
import { runBatch, type BufferDeps } from './batch';
import { bufferCommands } from './commands';
import { readInitPage } from './init';

export type { BufferDeps } from './batch';
export { BufferFeed } from './feed';
export { heapUse } from './heap';
export { MemoryMonitor } from './memory';
export { BufferMetrics } from './telemetry';
export { ShardReports } from './reports';

export function createBufferActivities(deps: BufferDeps): BufferActivities {
  return {
    ...bufferCommands(deps),
    runBatch: (input) => runBatch(deps, input),
    readInitPage: (input) => readInitPage(deps, input),
  };
}
