/**
 * `longwatch dev`: everything on this machine, in one process: Temporal with its UI, PostgreSQL, what the config's
 * `dev` hook starts, a worker, and the config's trackers. All that it keeps is in one folder, so a second start goes
 * on.
 */
import path from 'node:path';
import { Option, type Command } from 'commander';
import { service, Services } from '../../activities/lib/service';
import type { LoadedConfig } from '../../config/load';
import type { DevServers } from '../../workers/dev/servers';
import type { LongwatchWorker } from '../../workers/worker';
import type { Longwatch } from '../../client/longwatch';
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
  const { checkAddress, resolveEnvironment, requireDatabase } = lazy.environment();
  const temporalAddress = flags.address ?? (process.env.TEMPORAL_ADDRESS || undefined);
  const given = flags.database ?? (process.env.DATABASE_URL || undefined);
  if (given !== undefined) checkAddress(given);

  const servers = await lazy.devServers().startDevServers({
    dir,
    temporalAddress,
    databaseUrl: given,
    namespace: flags.namespace ?? (process.env.TEMPORAL_NAMESPACE || undefined),
    onProgress: remark,
    log,
    ports: { temporal: flags.temporalPort, ui: flags.uiPort, postgres: flags.postgresPort },
  });
  await services.add(service({ stop: () => servers.stop() }));
  if (signal.aborted) return;
  // TLS and keys of the environment belong to a given server, not to the one that was started here.
  const own = { address: servers.temporalAddress, namespace: servers.namespace, databaseUrl: servers.databaseUrl };
  const temporal = temporalAddress
    ? resolveEnvironment(own).temporal
    : { address: servers.temporalAddress, namespace: servers.namespace };
  // It goes with DATABASE_URL, and with no other.
  const direct = servers.databaseUrl === process.env.DATABASE_URL ? process.env.DIRECT_DATABASE_URL : undefined;
  const environment = { temporal, databaseUrl: servers.databaseUrl, directDatabaseUrl: direct || undefined };
  const databaseUrl = requireDatabase(environment);
  await lazy.migrate().migrate(environment.directDatabaseUrl ?? databaseUrl, log);

  const hook = await loaded.dev?.start?.({ dir, log, databaseUrl });
  if (hook) await services.add(service({ stop: async () => hook.stop() }));
  if (signal.aborted) return;

  const dataConverter = loaded.config.dataConverter ?? (await givenConverter());
  const worker = await lazy.worker().createWorker({
    config: loaded.config,
    dataConverter,
    temporal,
    databaseUrl,
    directDatabaseUrl: environment.directDatabaseUrl,
    metrics: { port: flags.metricsPort },
    log,
    adopt: flags.adopt,
  });
  const running = worker.run();
  running.catch(() => undefined);
  const ended = (): Promise<void> => worker.shutdown().then(() => running);
  await services.add(service({ stop: ended }));
  await servers.publish({ metricsUrl: worker.metricsUrl });

  const longwatch = await lazy.longwatch().connect({ environment, log, dataConverter, via: 'cli' });
  await services.add(service({ stop: () => longwatch.close() }));
  const trackers: Started[] = [];
  for (const tracker of loaded.config.trackers) {
    if (signal.aborted) return;
    const ids = loaded.dev?.trackers?.[tracker.name]?.ids ?? [];
    trackers.push(await startTracker(longwatch, tracker.name, tracker.options, ids));
  }
  for (const job of loaded.config.jobs) {
    if (signal.aborted) return;
    trackers.push(await startJob(longwatch, job.name, job.options));
  }
  for (const { name, options } of loaded.config.buffers) {
    if (signal.aborted) return;
    await startBuffer(longwatch, name, options);
  }
  const buffers = loaded.config.buffers.map(({ name }) => name);
  await sayReady(flags, servers, worker, trackers, buffers, hook?.lines ?? []);
  await Promise.race([running, interrupted(signal)]);
}

interface Started {
  name: string;
  /** A job's kind: `regen`, `sweep` or `decay`. */
  kind?: string;
  state: string;
  members: number;
  /** One of its ids, for the lines of what to try next. */
  example?: string;
}

type Options = LoadedConfig['config']['trackers'][number]['options'];

/** Started, or given the options of the config; one that was stopped by hand stays stopped. */
async function startTracker(longwatch: Longwatch, name: string, options: Options, ids: string[]): Promise<Started> {
  const tracker = longwatch.tracker(name);
  const before = (await longwatch.trackers()).includes(name) ? await tracker.status() : undefined;
  if (before?.state === 'stopped') return { name, state: 'stopped', members: before.members };
  const result = await tracker.start(options);
  if (result.differs) {
    await tracker.declare(options);
    remark(`'${name}' goes on with the changed options of the config`);
  }
  // The ids of the hook are a beginning: who removed some of them does not get them back.
  if (ids.length > 0 && !(await tracker.everHadMembers())) await tracker.add(ids, { wait: true });
  const { members } = await tracker.status();
  let example: string | undefined;
  for await (const member of tracker.list({ limit: 1 })) example = member.id;
  return { name, state: result.state, members, example };
}

type JobOptions = LoadedConfig['config']['jobs'][number]['options'];

/** As a tracker: started, or given the options of the config, unless it was stopped by hand. */
async function startJob(longwatch: Longwatch, name: string, options: JobOptions): Promise<Started> {
  const job = longwatch.job(name);
  const before = (await longwatch.jobs()).includes(name) ? await job.status() : undefined;
  if (before?.state === 'stopped') return { name, kind: options.kind, state: 'stopped', members: 0 };
  const result = await job.start(options);
  if (result.differs) {
    await job.declare(options);
    remark(`'${name}' goes on with the changed options of the config`);
  }
  return { name, kind: options.kind, state: result.state, members: 0 };
}

type BufferOptions = LoadedConfig['config']['buffers'][number]['options'];

/** As a tracker: started, or given the options of the config, unless it was stopped by hand. */
async function startBuffer(longwatch: Longwatch, name: string, options: BufferOptions): Promise<void> {
  const buffer = longwatch.buffer(name);
  const before = (await longwatch.bufferNames()).includes(name) ? await buffer.status() : undefined;
  if (before?.state === 'stopped') {
    remark(`'${name}' was stopped by hand; start it with: npx longwatch start ${name}`);
    return;
  }
  if ((await buffer.start(options)).differs) {
    await buffer.declare(options);
    remark(`'${name}' goes on with the changed options of the config`);
  }
}

async function sayReady(
  flags: Flags,
  servers: DevServers,
  worker: LongwatchWorker,
  trackers: Started[],
  buffers: string[],
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
      uiUrl,
      metricsUrl,
      temporalAddress,
      node,
      trackers,
      buffers,
      lines,
      notes: servers.notes,
    });
  const example = first?.example ?? 'ID';
  if (buffers.length > 0) what.push(`buffers: ${buffers.join(', ')}`);
  await print(
    [
      '',
      `Longwatch is ready: ${what.join(', ')}.`,
      ...(uiUrl ? [`  Temporal UI  ${uiUrl}`] : []),
      `  Temporal     ${temporalAddress}`,
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
