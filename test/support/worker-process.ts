/** A worker of a test as a process: loads the config named by its argument, says 'ready', works until it is ended. */
import { pino } from 'pino';
import { setPointHook, type Point } from '../../activities/lib/points';
import { loadConfig } from '../../config/load';
import { createWorker } from '../../workers/worker';
import { keepFewWorkflows } from './replay-all';

keepFewWorkflows();

async function main(): Promise<void> {
  const { config } = await loadConfig(process.argv[2]);
  const worker = await createWorker({
    config,
    temporal: { address: process.env.TEMPORAL_ADDRESS!, namespace: process.env.TEMPORAL_NAMESPACE! },
    databaseUrl: process.env.DATABASE_URL!,
    metrics: { port: 0 },
    log: pino({ level: process.env.LONGWATCH_TEST_LOG ?? 'silent' }, pino.destination({ fd: 2, sync: true })),
    nodeName: process.env.LONGWATCH_NODE,
    watchdogMs: null,
    workflowBundle: process.env.LONGWATCH_TEST_BUNDLE,
  });
  process.on('SIGTERM', () => void worker.shutdown());
  // The process that started it is gone.
  process.on('disconnect', () => process.exit(1));
  process.on('message', (message: 'memory' | { freezeAt: Point | null }) => {
    if (message === 'memory') tellMemory();
    else freezeAt(message.freezeAt);
  });
  const ended = worker.run();
  process.stdout.write(`ready ${worker.node} ${worker.metricsUrl}\n`);
  await ended;
}

/** For a benchmark: what it holds once all garbage is gone. */
function tellMemory(): void {
  (globalThis as { gc?: () => void }).gc?.();
  process.send!(process.memoryUsage());
}

/** Says that the code is at the point, and stands still as a whole until SIGCONT. Once. */
function freezeAt(point: Point | null): void {
  setPointHook(undefined);
  if (point === null) {
    process.send!({ goesOn: true });
    return;
  }
  setPointHook(async (reached) => {
    if (reached !== point) return;
    setPointHook(undefined);
    await new Promise<void>((said) => process.send!({ frozenAt: point }, () => said()));
    process.kill(process.pid, 'SIGSTOP');
  });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  },
);
