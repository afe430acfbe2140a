/**
 * A worker: one node that keeps shifts and runs the short activities and all workflow code. Called by the `worker` and
 * `dev` verbs, by tests and by whoever embeds Longwatch. `parts.ts` has what it consists of, `setup.ts` its options.
 */
import { Services } from '../activities/lib/service';
import { sleep } from '../activities/lib/sleep';
import type { Node } from '../activities/tracker/shift/node';
import { partsOf, type WorkerParts } from './parts';
import type { WorkerSetup } from './setup';

export type { WorkerSetup } from './setup';

export interface LongwatchWorker {
  /** Works until `shutdown`, then resolves. Rejects when the worker fails for good. */
  run(): Promise<void>;
  /** Hands all shifts back, writes what there is, takes no more tasks. */
  shutdown(): Promise<void>;
  metricsUrl: string;
  node: string;
}

/** A part that takes longer to stop is left behind: somebody may still use its connections. Milliseconds. */
const STOP_MS = 3_000;

/** If a part cannot start, those before it have stopped: name, port and connections are free for the next try. */
export async function createWorker(setup: WorkerSetup): Promise<LongwatchWorker> {
  const parts = partsOf(setup);
  const services = new Services(parts.services, STOP_MS);
  await services.start();
  let ended: Promise<void> | undefined;
  return {
    run: () => (ended ??= run(parts, services)),
    shutdown: async () => {
      await drain(parts);
      parts.tasks.shutdown();
      await (ended ??= stop(parts, services));
    },
    metricsUrl: parts.page.url,
    node: parts.name,
  };
}

async function run(parts: WorkerParts, services: Services): Promise<void> {
  try {
    const working = parts.tasks.run();
    // From here on its polls are answered.
    parts.node.take(true);
    await working;
  } finally {
    await stop(parts, services);
  }
}

/** A part that cannot be stopped does not keep the worker from its end. */
async function stop({ log }: WorkerParts, services: Services): Promise<void> {
  await services
    .stop()
    .catch((error: unknown) => log.debug({ err: error }, 'a part of the worker could not be stopped'));
}

/** Shifts and passes end before anything that they use. */
async function drain({ node, jobs }: WorkerParts): Promise<void> {
  node.drain();
  await Promise.all([drained(node), jobs.drain()]);
}

/** Resolves when the node keeps no shift any more, or after a while: what is left is ended by the grace time. */
async function drained(node: Node): Promise<void> {
  const until = Date.now() + 5_000;
  while (node.shifts.size > 0 && Date.now() < until) await sleep(10);
}
