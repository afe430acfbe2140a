/**
 * The config of the workers of the tracker's scenarios: one tracker with one operation, its options and upstream given
 * by the scenario (`watch.ts`).
 */
import { defineConfig, defineTracker, type Run, type TrackerDefinition } from '../../exports';
import { createUpstream } from '../../exports/upstream';

/** Filled by `watch.ts`; JSON in the environment, since the config is loaded by another process. */
export interface WatchSetup {
  tracker: Partial<Omit<TrackerDefinition, 'name' | 'operations'>>;
  operation: { every: string; concurrency?: number; stagger?: { base?: string; window?: string } };
  /** Without one, a run makes its value up. */
  origin?: string;
  connections?: number;
  /** A run that makes its value up keeps the event loop for so long, as parsing and checking would. Milliseconds. */
  busyMs?: number;
}

const setup = JSON.parse(process.env.BENCH_WATCH!) as WatchSetup;

let made = 0;
const makeUp: Run = () => {
  const { busyMs = 0 } = setup;
  for (const end = performance.now() + busyMs; performance.now() < end;);
  return { value: { number: ++made } };
};

function fetchFrom(origin: string): Run {
  const upstream = createUpstream({ origin, connections: setup.connections });
  return async ({ id }) => {
    const { body } = await upstream.get(`/characters/${id}`);
    return { value: body };
  };
}

export default defineConfig({
  trackers: [
    defineTracker({
      name: 'bench',
      ...setup.tracker,
      operations: {
        look: { ...setup.operation, run: setup.origin === undefined ? makeUp : fetchFrom(setup.origin) },
      },
    }),
  ],
});
