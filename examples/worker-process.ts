/**
 * The process of an example's worker, started by `workers.ts` with the servers in its environment: loads the example's
 * config, says 'ready', and works until it is ended, or whoever started it is gone. Called by each example's
 * `worker.ts`.
 */
import { createWorker, loadConfig } from 'longwatch/worker';
import { pino } from 'pino';

export interface WorkerProcess {
  /** Absolute. */
  config: string;
  /** Level of its log. @default silent */
  log?: string;
  /** The node's name. @default one that it makes up */
  nodeName?: string;
  /** A prebuilt bundle, where the example has workflows of its own. */
  workflowBundle?: string;
}

export function runWorker(setup: WorkerProcess): void {
  work(setup).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
}

async function work({ config: file, log, nodeName, workflowBundle }: WorkerProcess): Promise<void> {
  const { config } = await loadConfig(file);
  const worker = await createWorker({
    config,
    temporal: { address: process.env.TEMPORAL_ADDRESS!, namespace: 'default' },
    databaseUrl: process.env.DATABASE_URL!,
    metrics: { port: 0 },
    log: pino({ level: log ?? 'silent' }, pino.destination({ fd: 2, sync: true })),
    watchdogMs: null,
    nodeName,
    workflowBundle,
  });
  process.on('SIGTERM', () => void worker.shutdown());
  process.on('disconnect', () => process.exit(1));
  // Ctrl-C in a terminal reaches this process too; whoever started it decides.
  process.on('SIGINT', () => undefined);
  const ended = worker.run();
  process.stdout.write('ready\n');
  await ended;
}
