/** Many shards with large bounds: without the memory monitor they would hold more than the worker's heap. */
import { defineBuffer, defineConfig } from '../../exports';

export default defineConfig({
  buffers: [
    defineBuffer({
      name: 'hoard',
      shards: 24,
      bound: { entries: 1_000_000, bytes: 16_000_000 },
      run: () => undefined,
    }),
  ],
});
