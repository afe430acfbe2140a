/**
 * `longwatch dev`: everything on this machine, in one process: Temporal with its UI, PostgreSQL, what the config's
 * `dev` hook starts, a worker, and the config's trackers. All that it keeps is in one folder, so a second start goes
 * on.
 */
import path from 'node:path';
import { Option, type Command } from 'commander';
import type { Logger } from 'pino';
import { service, Services } from '../../activities/lib/service';
import type { Environment } from '../../config/environment';
import type { LoadedConfig } from '../../config/load';
import type { DevServers } from '../../workers/dev/servers';
import type { LongwatchWorker } from '../../workers/worker';
import type { DashboardOptions } from '../../http/app';
import { definitionsOf, labelsOf, startDeclared, type StartedAll } from '../declared';
import { interrupted, interruption } from '../interrupt';
import { lazy } from '../lazy';
import { logger, plural, print, printJson, remark } from '../output';
import { givenConverter, LEVELS, port, verb, type CommonFlags } from '../verb';

const FOLDER = '.longwatch';

interface Flags extends CommonFlags {
  config?: string;
  dir: string;
  temporalPort?: number;
  uiPort?: number;
  postgresPort?: number;
  metricsPort?: number;
  dashboardPort?: number;
  adopt?: boolean;
  log: string;
}

export function addDev(program: Command): void {
  verb(program, 'dev', 'run all of it on this machine: servers, a worker, the trackers of the config', [
    'longwatch dev',
    'longwatch dev --config examples/eve/longwatch.config.ts',
  ])
    .option('--config <file>', 'the config module (longwatch.config.ts in this folder)')
    .addOption(new Option('--dir <folder>', 'where everything is kept').env('LONGWATCH_DIR').default(FOLDER))
    .option('--temporal-port <port>', 'instead of 7233 (or a free one)', port)
    .option('--ui-port <port>', 'instead of 8233 (or a free one)', port)
    .option('--postgres-port <port>', 'instead of 5433 (or a free one)', port)
    .option('--metrics-port <port>', 'instead of 9464 (or a free one)', port)
    .option('--dashboard-port <port>', 'instead of 8765 (or a free one)', port)
    .option('--adopt', 'take over a database (DATABASE_URL) that belonged to another Temporal')
    .addOption(new Option('--log <level>', 'how much is logged').choices(LEVELS).default('warn'))
    .action(dev);
}

async function dev(flags: Flags): Promise<void> {
  const signal = interruption('Ending: the pools are handed back, then the servers stop …');
  const loaded = await lazy.load().loadConfig(flags.config);
  const services = new Services();
  let failure: { error: unknown } | undefined;
  try {
    await start(flags, loaded, signal, services);
  } catch (error) {
    // A start that was interrupted may fail in any way; that is not news.
    if (!signal.aborted) failure = { error };
  }
  await services.stop().catch((error: unknown) => (failure ??= { error }));
  if (failure) throw failure.error;
}

async function start(flags: Flags, loaded: LoadedConfig, signal: AbortSignal, services: Services): Promise<void> {
  const log = logger(flags.log);
  // Set but empty is not set: the project's folder itself would be taken, and kept from git.
  const dir = path.resolve(flags.dir || FOLDER);
  const servers = await startServers(flags, dir, log);
  await services.add(service({ stop: () => servers.stop() }));
  if (signal.aborted) return;
  const environment = environmentOf(flags, servers);
  const { temporal, directDatabaseUrl } = environment;
  const databaseUrl = lazy.environment().requireDatabase(environment);
  await lazy.migrate().migrate(directDatabaseUrl ?? databaseUrl, log, undefined, 'cli');

  const hook = await loaded.dev?.start?.({ dir, log, databaseUrl });
  if (hook) await services.add(service({ stop: async () => hook.stop() }));
  if (signal.aborted) return;

  const { config } = loaded;
  const dataConverter = config.dataConverter ?? (await givenConverter());
  const metrics = { port: flags.metricsPort };
  const whatItNeeds = {
    config,
    dataConverter,
    temporal,
    databaseUrl,
    directDatabaseUrl,
    metrics,
    log,
    adopt: flags.adopt,
    labels: labelsOf(config),
  };
  const worker = await lazy.worker().createWorker(whatItNeeds);
  const running = worker.run();
  running.catch(() => undefined);
  const ended = (): Promise<void> => worker.shutdown().then(() => running);
  await services.add(service({ stop: ended }));
  await servers.publish({ metricsUrl: worker.metricsUrl });

  const longwatch = await lazy
    .longwatch()
    .connect({ environment, log, dataConverter, ...definitionsOf(config), via: 'cli' });
  await services.add(service({ stop: () => longwatch.close() }));
  const known = { environment, log, dataConverter, ...definitionsOf(config), temporalUi: servers.uiUrl };
  const dashboardUrl = await startDashboard(known, flags.dashboardPort, services);
  const started = await startDeclared(longwatch, loaded, signal);
  if (!started) return;
  await sayReady(flags, { servers, worker, dashboardUrl }, started, hook?.lines ?? []);
  await Promise.race([running, interrupted(signal)]);
}

/** The page and the API for whoever is on this machine. @returns its address */
async function startDashboard(known: DashboardOptions, port: number | undefined, services: Services): Promise<string> {
  const { createDashboard, serveDashboard } = lazy.http();
  const served = await serveDashboard(createDashboard({ ...known, open: true }), { host: '127.0.0.1', port });
  await services.add(service({ stop: () => served.stop() }));
  return served.url;
}

/** The address of Temporal, from a flag or from the environment. */
function givenTemporal(flags: Flags): string | undefined {
  return flags.address ?? (process.env.TEMPORAL_ADDRESS || undefined);
}

/** Temporal and PostgreSQL: those of this folder, where none are given. */
function startServers(flags: Flags, dir: string, log: Logger): Promise<DevServers> {
  const databaseUrl = flags.database ?? (process.env.DATABASE_URL || undefined);
  if (databaseUrl !== undefined) lazy.environment().checkAddress(databaseUrl);
  return lazy.devServers().startDevServers({
    dir,
    temporalAddress: givenTemporal(flags),
    databaseUrl,
    namespace: flags.namespace ?? (process.env.TEMPORAL_NAMESPACE || undefined),
    onProgress: remark,
    log,
    ports: { temporal: flags.temporalPort, ui: flags.uiPort, postgres: flags.postgresPort },
  });
}

/** TLS and keys of the environment belong to a given server, not to the one that was started here. */
function environmentOf(flags: Flags, { temporalAddress: address, namespace, databaseUrl }: DevServers): Environment {
  const isGiven = givenTemporal(flags) !== undefined;
  const temporal = isGiven
    ? lazy.environment().resolveEnvironment({ address, namespace, databaseUrl }).temporal
    : { address, namespace };
  // It goes with DATABASE_URL, and with no other.
  const direct = databaseUrl === process.env.DATABASE_URL ? process.env.DIRECT_DATABASE_URL : undefined;
  return { temporal, databaseUrl, directDatabaseUrl: direct || undefined };
}

interface Ready {
  servers: DevServers;
  worker: LongwatchWorker;
  dashboardUrl: string;
}

async function sayReady(
  flags: Flags,
  { servers, worker, dashboardUrl }: Ready,
  { trackers, buffers, refused }: StartedAll,
  lines: string[],
): Promise<void> {
  const { uiUrl, temporalAddress } = servers;
  const { metricsUrl, node } = worker;
  const first = trackers.find((tracker) => tracker.state === 'running' && !tracker.kind);
  const what = trackers.map(({ name, kind, members, state }) => {
    if (kind !== undefined) return `${kind} '${name}' is ${state}`;
    return `'${name}' has ${plural(members, 'member')}${state === 'running' ? '' : ` and is ${state}`}`;
  });
  if (flags.json)
    return printJson({
      ready: true,
      dashboardUrl,
      uiUrl,
      metricsUrl,
      temporalAddress,
      node,
      trackers,
      buffers,
      refused,
      lines,
      notes: servers.notes,
    });
  const example = first?.example ?? 'ID';
  if (buffers.length > 0) what.push(`buffers: ${buffers.join(', ')}`);
  what.push(...refused.map(({ name }) => `'${name}' is not started (see above)`));
  await print(
    [
      '',
      `Longwatch is ready: ${dashboardUrl}`,
      `  ${what.join(', ')}.`,
      ...(uiUrl ? [`  Temporal UI  ${uiUrl}`] : []),
      `  Temporal     ${temporalAddress}`,
      ...(servers.psql === undefined ? [] : [`  PostgreSQL   ${servers.psql}`]),
      `  Metrics      ${metricsUrl}`,
      ...[...lines, ...servers.notes].map((line) => `  ${line}`),
      '',
      'In a second terminal, in this folder:',
      '  npx longwatch status --watch',
      ...(first
        ? [
            `  npx longwatch show ${first.name} ${example}`,
            `  npx longwatch add ${first.name} ID …`,
            `  npx longwatch config ${first.name}`,
          ]
        : []),
      ...(buffers[0] === undefined ? [] : [`  npx longwatch push ${buffers[0]} ENTRY …`]),
      '',
      'Ctrl-C ends all of it; members and values are kept for the next start.',
    ].join('\n'),
  );
}
