/** The config of the killed workers: ten small pools; each value says which process fetched it. */
import { defineConfig, defineTracker } from '../../exports';

export default defineConfig({
  trackers: [
    defineTracker({
      name: 'chaos',
      poolSize: 20,
      heartbeatTimeout: '2s',
      operations: {
        look: {
          every: '200ms',
          run: ({ id }) => {
            if (id === 'stray') {
              setTimeout(() => {
                throw new Error('a callback that throws');
              }, 1);
              void Promise.reject(new Error('a promise rejected late'));
            }
            return { value: { pid: process.pid } };
          },
        },
      },
    }),
  ],
});
