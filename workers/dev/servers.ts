/**
 * The development stack as `longwatch dev` and the tests use it: one call starts Temporal and PostgreSQL for a
 * folder, or goes on with what an earlier run kept there. The servers live under a supervisor process
 * (`supervisor.ts`) that ends them when this process dies in whatever way.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import { AlreadyRunningError, DevServerError, PortTakenError } from './errors';
import { ended, isRunning, markOf, signal } from '../../config/dev/processes';
import { stopServersOf } from './orphans';
import type { FromSupervisor, Request, SupervisorOptions, ToSupervisor } from './protocol';
import {
  devFiles,
  lockHolder,
  makeDevFolder,
  type DevPorts,
  type DevServerName,
  type DevState,
} from '../../config/dev/state';
import { findTemporal } from './temporal';

export interface DevServersOptions {
  /** The folder that keeps everything (the project's `.longwatch`); made when missing. */
  dir: string;
  /** Given: no PostgreSQL is started. */
  databaseUrl?: string;
  /** Given: no Temporal is started. */
  temporalAddress?: string;
  /** @default 'default' */
  namespace?: string;
  /** Lines for people about what takes long. */
  onProgress?: (line: string) => void;
  /** Ports that must be used; an absent one is the usual one (7233, 8233, 5433) or any free one. */
  ports?: DevPorts;
  /** Whether Temporal's web UI is served. @default true */
  ui?: boolean;
  /** Told when a server dies and is started again. */
  log?: Pick<Logger, 'info' | 'warn'>;
  /** A `temporal` binary; without it one is found or fetched (`temporal.ts`). */
  temporalBinary?: string;
  /** SQLite's `synchronous` for the Temporal server. @default 'OFF' */
  synchronous?: 'OFF' | 'FULL';
}

export interface DevServers {
  temporalAddress: string;
  namespace: string;
  uiUrl?: string;
  /** Lines for people: ports that are not the usual ones, data that lies elsewhere. */
  notes: string[];
  /** Holds the password: not for logs or the screen. */
  databaseUrl: string;
  /** The command that opens its database, where it runs one; the password is in a file of the folder. */
  psql?: string;
  /** Notes the worker's metrics address in `dev.json`, for the command line. */
  publish(addresses: { metricsUrl: string }): Promise<void>;
  /** SIGKILL, for tests of bad days; the server stays down until `start`. */
  kill(which: DevServerName): Promise<void>;
  start(which: DevServerName): Promise<void>;
  /** Ends both servers cleanly; their data stays. Does nothing the second time. */
  stop(): Promise<void>;
}

/** The supervisor stops a server by force after 10 s, so this is long enough for any clean end. */
const END_MS = 25_000;

/**
 * Starts the stack, or goes on with the data of an earlier run.
 * @throws AlreadyRunningError, PortTakenError, TemporalNotFoundError, DevServerError
 */
export async function startDevServers(options: DevServersOptions): Promise<DevServers> {
  const dir = folderOf(options.dir);
  const progress = options.onProgress ?? (() => undefined);
  await waitForEarlier(dir, progress);
  const temporalBinary =
    options.temporalAddress === undefined
      ? (options.temporalBinary ?? (await findTemporal({ onProgress: progress })))
      : undefined;
  const supervisor = new SupervisorProcess(dir, progress, options.log);
  const state = await supervisor.start({
    dir,
    owner: markOf(process.pid)!,
    namespace: options.namespace ?? 'default',
    databaseUrl: options.databaseUrl,
    temporalAddress: options.temporalAddress,
    temporalBinary,
    ui: options.ui ?? true,
    ports: options.ports ?? {},
    synchronous: options.synchronous,
  });
  return {
    temporalAddress: state.temporalAddress,
    namespace: state.namespace,
    uiUrl: state.uiUrl,
    notes: state.notes ?? [],
    databaseUrl: state.databaseUrl,
    psql: state.servers.postgres && psqlCommand(dir, state.databaseUrl),
    publish: ({ metricsUrl }) => supervisor.request({ action: 'publish', metricsUrl }),
    kill: (server) => supervisor.request({ action: 'kill', server }),
    start: (server) => supervisor.request({ action: 'start', server }),
    stop: () => supervisor.stop(),
  };
}

function folderOf(dir: string): string {
  try {
    return makeDevFolder(dir);
  } catch (error) {
    throw new DevServerError(
      `The folder ${dir} cannot be made or written: ${(error as Error).message}. Name another one with --dir or LONGWATCH_DIR`,
      { cause: error },
    );
  }
}

function psqlCommand(dir: string, databaseUrl: string): string {
  const { hostname, port, username, pathname } = new URL(databaseUrl);
  const file = path.relative(process.cwd(), devFiles(dir).password);
  return `PGPASSWORD=$(cat ${quoted(file)}) psql -h ${hostname} -p ${port} -U ${username} ${pathname.slice(1)}`;
}

/** For a shell. */
const quoted = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** A supervisor whose `longwatch dev` was killed is on its way out; one whose `dev` lives means: already running. */
async function waitForEarlier(dir: string, progress: (line: string) => void): Promise<void> {
  const holder = lockHolder(dir);
  if (!holder) return;
  if (isRunning(holder.owner)) throw new AlreadyRunningError(holder.owner.pid, dir);
  progress('Waiting for the servers of an earlier run to end');
  if (await ended(holder.supervisor, END_MS)) return;
  signal(holder.supervisor, 'SIGKILL');
  await ended(holder.supervisor, 5_000);
}

type WithoutId<T> = T extends { id: number } ? Omit<T, 'id'> : never;

class SupervisorProcess {
  private child!: ChildProcess;
  private ending: Promise<void> | undefined;
  private exited!: Promise<void>;
  private gone = false;
  private requests = 0;
  private readonly waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

  constructor(
    private readonly dir: string,
    private readonly progress: (line: string) => void,
    private readonly log: DevServersOptions['log'],
  ) {}

  start(options: SupervisorOptions): Promise<DevState> {
    const output = openSync(devFiles(this.dir).ownLog, 'w', 0o600);
    const typescript = __filename.endsWith('.ts');
    this.child = fork(path.join(__dirname, typescript ? 'supervisor.ts' : 'supervisor.js'), [this.dir], {
      // A session of its own: neither Ctrl-C nor the closing of the terminal reaches it.
      detached: true,
      stdio: ['ignore', output, output, 'ipc'],
      execArgv: typescript ? ['--require', require.resolve('tsx/cjs')] : [],
    });
    closeSync(output);
    return new Promise((resolve, reject) => {
      let failure: Error | undefined;
      this.exited = new Promise((exit) => {
        const gone = (): void => {
          this.gone = true;
          const error = new DevServerError(`The supervisor ended. See ${devFiles(this.dir).ownLog}`);
          // Rejected only now, when nothing that it had started is left.
          reject(failure ?? error);
          for (const { reject: fail } of this.waiting.values()) fail(error);
          this.waiting.clear();
          if (!this.ending && !failure) this.log?.warn('the supervisor of the development servers has ended');
          exit();
        };
        this.child.once('exit', gone);
        this.child.once('error', gone);
      });
      this.child.on('message', (message: FromSupervisor) => {
        if (message.type === 'ready') resolve(message.state);
        else if (message.type === 'failed') failure = toError(message, this.dir);
        else this.hear(message);
      });
      this.send({ type: 'options', options });
    });
  }

  request(request: WithoutId<Request>): Promise<void> {
    if (this.gone) return Promise.reject(new DevServerError('The development servers have ended.'));
    const id = ++this.requests;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.send({ type: 'request', id, ...request });
    });
  }

  stop(): Promise<void> {
    this.ending ??= this.endOf();
    return this.ending;
  }

  private async endOf(): Promise<void> {
    if (!this.gone) await this.askToStop();
    // A supervisor that was killed has left its servers running.
    await stopServersOf(this.dir);
  }

  private async askToStop(): Promise<void> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), END_MS);
    // The answer may be lost in the closing of the channel; the exit is what counts.
    await this.request({ action: 'stop' }).catch(() => undefined);
    await this.exited;
    clearTimeout(timer);
  }

  private send(message: ToSupervisor): void {
    this.child.send(message, () => undefined);
  }

  private hear(message: FromSupervisor): void {
    if (message.type === 'progress') this.progress(message.line);
    else if (message.type === 'event') this.log?.[message.level](message.message);
    else if (message.type === 'reply') {
      const waiting = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.error === undefined) waiting?.resolve();
      else waiting?.reject(new DevServerError(message.error));
    }
  }
}

function toError(failed: Extract<FromSupervisor, { type: 'failed' }>, dir: string): Error {
  if (failed.kind === 'already-running') return new AlreadyRunningError(failed.value, dir);
  if (failed.kind === 'port-taken')
    return Object.assign(new PortTakenError(failed.value, ''), { message: failed.message });
  return new DevServerError(failed.message);
}
