/**
 * Two trackers that fetch the same from the same upstream, as fast as they can: `plain` without limits, `limited` with
 * two of which neither is near (one of the address, one of each member, as ESI's). Loaded by the worker of
 * `scenarios/budget/cost.ts`, which lets one of them run at a time.
 */
import { defineConfig, defineTracker } from '../../exports';
import { createUpstream, defineUpstream } from '../../exports/upstream';

const origin = process.env.BENCH_ORIGIN!;
const connections = 500;
const every = { every: '1s', concurrency: 25 };

const plain = createUpstream({ origin, connections });
const limited = defineUpstream({
  name: 'bench',
  origin,
  connections,
  limits: {
    errors: {
      key: 'address',
      tokens: 1_000_000,
      window: '1m',
      shape: 'fixed',
      closesAtEnd: true,
      cost: ({ status }) => (status >= 400 ? 1 : 0),
    },
    group: { key: 'member', tokens: 60_000, window: '15m', cost: { '2xx': 2, '3xx': 1, '4xx': 5, 429: 0, '5xx': 0 } },
  },
});

export default defineConfig({
  trackers: [
    defineTracker({
      name: 'plain',
      operations: {
        look: { ...every, run: async ({ id }) => ({ value: (await plain.get(`/characters/${id}`)).body }) },
      },
    }),
    defineTracker({
      name: 'limited',
      operations: {
        look: {
          ...every,
          upstream: limited,
          run: async ({ id }) => ({ value: (await limited.get(`/characters/${id}`)).body }),
        },
      },
    }),
  ],
});
