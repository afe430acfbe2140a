/** The buffer of the benchmark: every option as it is by default, a handler that does nothing but say that it was called. */
import { defineBuffer, defineConfig } from '../../client';

export default defineConfig({
  buffers: [defineBuffer({ name: 'bench', run: (entries: { n: number; pad: string }[]) => void entries })],
});
