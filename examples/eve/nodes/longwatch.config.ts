/** The config of the nodes that are killed: characters whose position is asked for once a second. */
import { defineConfig, defineTracker } from 'longwatch';
import { createUpstream } from 'longwatch/upstream';
import { NODE_HEADER, SETTINGS } from './settings';

const upstream = createUpstream({
  origin: process.env[SETTINGS.origin] ?? 'http://127.0.0.1:9',
  headers: { [NODE_HEADER]: process.env[SETTINGS.node] ?? '' },
  // Twelve requests at once a core are enough for a thousand a second where an answer takes some milliseconds.
  connections: 64,
});

export const beats = defineTracker({
  name: 'beats',
  poolSize: 100,
  heartbeatTimeout: '3s',
  operations: {
    beat: {
      every: '1s',
      concurrency: 64,
      timeout: '5s',
      run: async ({ id, signal }) => ({ value: (await upstream.get<{ n: number }>(`/beat/${id}`, { signal })).body.n }),
    },
  },
});

export default defineConfig({ trackers: [beats] });
