/** `longwatch worker`: one worker process on servers that are there. It runs until Ctrl-C or SIGTERM. */
import { Option, type Command } from 'commander';
import type { StringValue } from 'ms';
import { interrupted, interruption } from '../interrupt';
import { lazy } from '../lazy';
import { logger, print, printJson } from '../output';
import { atLeastOne, environmentFlags, givenConverter, label, LEVELS, port, verb, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  config?: string;
  metricsPort?: number;
  metricsHost?: string;
  name?: string;
  nodeTimeout?: StringValue;
  concurrency?: number;
  egress?: string;
  label?: string[];
  adopt?: boolean;
  log: string;
}

export function addWorker(program: Command): void {
  verb(program, 'worker', 'run a worker: it keeps pools of the trackers in the config', [
    'longwatch worker',
    'TEMPORAL_ADDRESS=temporal:7233 DATABASE_URL=postgres://… npx longwatch worker',
  ])
    .option('--config <file>', 'the config module (longwatch.config.ts in this folder)')
    .option('--metrics-port <port>', 'where metrics are served; 0 takes a free one (9464, or a free one)', port)
    .option('--metrics-host <host>', 'the address they are served on', '127.0.0.1')
    .option('--name <node>', "the node's name (host, pid and some letters)")
    .option('--label <label>', 'it keeps pools of trackers with placement.on of this label too; may be repeated', label)
    .option('--node-timeout <duration>', 'how long to wait for a name that another worker has (10s)')
    .addOption(
      new Option('--egress <address>', 'the name of the address that its requests leave from (the host)').env(
        'LONGWATCH_EGRESS',
      ),
    )
    .option('--concurrency <n>', 'runs of all pools at once', atLeastOne)
    .option('--adopt', 'take over a database that belongs to another Temporal, which is gone for good')
    .addOption(new Option('--log <level>', 'how much is logged').choices(LEVELS).default('info'))
    .action(work);
}

async function work(flags: Flags): Promise<void> {
  const signal = interruption('Handing the pools back …');
  const { config } = await lazy.load().loadConfig(flags.config);
  const { requireDatabase, resolveEnvironment } = lazy.environment();
  const environment = resolveEnvironment(environmentFlags(flags));
  const databaseUrl = requireDatabase(environment);
  const log = logger(flags.log);
  const worker = await lazy.worker().createWorker({
    config,
    dataConverter: config.dataConverter ?? (await givenConverter()),
    temporal: environment.temporal,
    databaseUrl,
    directDatabaseUrl: environment.directDatabaseUrl,
    metrics: { port: flags.metricsPort, host: flags.metricsHost },
    log,
    adopt: flags.adopt,
    nodeName: flags.name,
    labels: flags.label,
    nodeTimeout: flags.nodeTimeout,
    nodeConcurrency: flags.concurrency,
    egress: flags.egress,
  });
  const running = worker.run();
  const ready = { ready: true, node: worker.node, metricsUrl: worker.metricsUrl };
  if (flags.json) await printJson(ready);
  else await print(`worker ${worker.node} is ready; metrics at ${worker.metricsUrl}`);
  await Promise.race([running, interrupted(signal)]);
  if (signal.aborted) await worker.shutdown();
  await running;
}
