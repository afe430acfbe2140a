/** A worker of the example as a process: `main.ts` starts it with the servers and the node in its environment. */
import path from 'node:path';
import { createWorker, loadConfig } from 'longwatch/worker';
import { pino } from 'pino';

async function main(): Promise<void> {
  const { config } = await loadConfig(path.join(__dirname, 'longwatch.config.ts'));
  const worker = await createWorker({
    config,
    temporal: { address: process.env.TEMPORAL_ADDRESS!, namespace: 'default' },
    databaseUrl: process.env.DATABASE_URL!,
    metrics: { port: 0 },
    log: pino({ level: process.env.BLOCKS_LOG ?? 'silent' }, pino.destination({ fd: 2, sync: true })),
    watchdogMs: null,
  });
  process.on('SIGTERM', () => void worker.shutdown());
  // Whoever started it is gone.
  process.on('disconnect', () => process.exit(1));
  const ended = worker.run();
  process.stdout.write('ready\n');
  await ended;
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  },
);
