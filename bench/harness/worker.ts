/** The start of a child process of a scenario that runs a worker and nothing else: `buffer` and `outage`. */
import { pino } from 'pino';
import { createWorker } from '../../workers/worker';

/** Runs a worker for this config until the process ends. Nothing of the benchmark's own is measured by its watchdog. */
export function workerOf(config: Parameters<typeof createWorker>[0]['config']) {
  return async (address: string, namespace: string, databaseUrl: string): Promise<void> => {
    const worker = await createWorker({
      config,
      temporal: { address, namespace },
      databaseUrl,
      metrics: { port: 0 },
      log: pino({ level: 'fatal' }),
      watchdogMs: null,
    });
    void worker.run();
  };
}
