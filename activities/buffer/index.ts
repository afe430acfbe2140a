/**
 * The activities of buffers: what `workflows/buffer` calls, given what they need. Called by `workers/parts.ts` once a
 * process.
 */
import type { BufferActivities } from '../../workflows/buffer/activities';
import { runBatch, type BufferDeps } from './batch';
import { declareBuffer, findMissingShards, openBuffer, setBufferOptions, setBufferState } from './commands';
import { buryChunks } from './dead';
import { readInitPage } from './init';
import { reportShard, saveShard, takeDead } from './shard-rows';
import { storeChunks } from './store';
import { savedShard } from './store/buffers';
import { fetchRows } from './store/chunks';

export type { BufferDeps } from './batch';
export { BufferFeed } from './feed';
export { heapUse } from './heap';
export { MemoryMonitor } from './memory';
export { BufferMetrics } from './telemetry';
export { ShardReports } from './reports';

/** Whether PostgreSQL answers. */
const ASK = { name: 'buffer-ask', text: 'select 1' };

export function createBufferActivities(deps: BufferDeps): BufferActivities {
  const { database, log } = deps;
  return {
    openBuffer: (input) => openBuffer(deps, input),
    findMissingShards: (input) => findMissingShards(deps, input),
    setBufferState: (input) => setBufferState(database, input),
    declareBuffer: (input) => declareBuffer(database, input),
    setBufferOptions: (input) => setBufferOptions(database, input),
    runBatch: (input) => runBatch(deps, input),
    readInitPage: (input) => readInitPage(deps, input),
    askStore: async () => void (await database.rows(ASK)),
    storeChunks: (input) => storeChunks(database, input, log),
    fetchChunks: (input) => database.transaction((db) => fetchRows(db, input)),
    buryEntries: ({ buffer, shard, chunks }) => buryChunks(database, buffer, shard, chunks),
    takeDead: (input) => takeDead(database, input),
    reportShard: (input) => reportShard(database, input),
    saveShard: (input) => saveShard(database, input),
    openShard: ({ buffer, shard }) => database.transaction((db) => savedShard(db, buffer, shard)),
  };
}
