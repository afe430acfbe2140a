/** The worker of the buffer's benchmark: every option as it is by default, a handler that does nothing but count. */
import { pino } from 'pino';
import { createWorker } from '../../workers/worker';
import { serve } from '../harness/child';
import { benched, onHandled } from './definition';

let handled = 0;
let awaited: { count: number; reached: () => void } | undefined;
onHandled((count) => {
  handled += count;
  if (awaited && handled >= awaited.count) awaited.reached();
});

serve({
  start: async (address: string, namespace: string, databaseUrl: string) => {
    const worker = await createWorker({
      config: benched,
      temporal: { address, namespace },
      databaseUrl,
      metrics: { port: 0 },
      log: pino({ level: 'fatal' }),
      watchdogMs: null,
    });
    void worker.run();
  },
  /** Resolves when so many entries have been handled since the last call. */
  handled: async (count: number) => {
    if (handled < count) await new Promise<void>((reached) => (awaited = { count, reached }));
    awaited = undefined;
    handled -= count;
  },
});
