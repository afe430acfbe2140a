/**
 * The process that keeps the development stack's servers. Forked by `servers.ts` in a session of its own, so that a
 * terminal's Ctrl-C does not reach the servers before the worker has drained; when the `longwatch dev` process dies
 * in whatever way, the IPC channel closes, and the servers are stopped cleanly.
 *
 * Order of a start: take the folder's lock, stop orphans, choose ports, start both servers, write `dev.json`, say
 * ready.
 */
import { chmodSync, existsSync } from 'node:fs';
import { AlreadyRunningError, PortTakenError } from './errors';
import { ManagedServer, type ServerSpec } from './managed';
import { stopServersOf } from './orphans';
import { choosePort } from './ports';
import { preparePostgres } from './postgres';
import { markOf } from '../../config/dev/processes';
import type { FromSupervisor, Request, SupervisorOptions, ToSupervisor } from './protocol';
import {
  devFiles,
  readDevState,
  releaseLock,
  takeLock,
  writeDevState,
  type DevServerName,
  type DevState,
} from '../../config/dev/state';
import { temporalSpec } from './temporal-server';
import { errorMessage } from '../../workflows/lib/text';

const USUAL_PORTS = { temporal: 7233, ui: 8233, postgres: 5433 };
const NAMES = { temporal: 'Temporal', ui: "Temporal's UI", postgres: 'PostgreSQL' };
/** Somebody may take a port between its choice and its use. */
const PORT_TRIES = 3;

class Supervisor {
  private readonly servers = new Map<DevServerName, ManagedServer>();
  private readonly state: DevState;
  private readonly earlier: DevState | undefined;
  private readonly notes = new Map<string, string>();
  private starting: Promise<void> | undefined;
  private ending: Promise<void> | undefined;

  constructor(private readonly options: SupervisorOptions) {
    const supervisor = markOf(process.pid)!;
    const holder = takeLock(options.dir, { owner: options.owner, supervisor });
    if (holder) throw new AlreadyRunningError(holder.owner.pid, options.dir);
    this.earlier = readDevState(options.dir);
    this.state = {
      version: 1,
      owner: options.owner,
      supervisor,
      servers: {},
      ports: {},
      temporalAddress: options.temporalAddress ?? '',
      namespace: options.namespace,
      databaseUrl: options.databaseUrl ?? '',
    };
  }

  start(): Promise<void> {
    this.starting = this.startServers();
    return this.starting;
  }

  private async startServers(): Promise<void> {
    const { dir } = this.options;
    const orphans = await stopServersOf(dir);
    if (orphans > 0) void say({ type: 'progress', line: 'Stopped servers that an earlier run had left behind' });
    // Both are started at once; when one fails, the other is waited for, so that it can be stopped.
    const results = await Promise.allSettled([this.startPostgres(), this.startTemporal()]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    if (this.ending) return;
    writeDevState(dir, this.state);
    void say({ type: 'ready', state: this.state });
  }

  async answer(request: Request): Promise<void> {
    try {
      if (request.action === 'stop') {
        await this.end();
      } else if (request.action === 'publish') {
        this.state.metricsUrl = request.metricsUrl;
        writeDevState(this.options.dir, this.state);
      } else {
        const server = this.servers.get(request.server);
        if (!server) throw new Error(`this stack does not run its own ${request.server}`);
        await (request.action === 'kill' ? server.kill() : server.start());
      }
      await say({ type: 'reply', id: request.id });
    } catch (error) {
      await say({ type: 'reply', id: request.id, error: errorMessage(error) });
    }
  }

  /** Stops both servers and gives the folder back; called more than once, it is one end. */
  end(): Promise<void> {
    this.ending ??= this.stopServers();
    return this.ending;
  }

  private async stopServers(): Promise<void> {
    await Promise.all([...this.servers.values()].map((server) => server.stop()));
    // A start that goes on meanwhile sees `ending` at its next step.
    await this.starting?.catch(() => undefined);
    releaseLock(this.options.dir);
  }

  private async startPostgres(): Promise<void> {
    if (this.options.databaseUrl !== undefined) return;
    void say({ type: 'progress', line: 'Starting PostgreSQL' });
    await this.run('postgres', async () => {
      const port = await this.port('postgres');
      const { data, postgresLog, password } = devFiles(this.options.dir);
      const paths = { data, log: postgresLog, password };
      const onProgress = (line: string): void => void say({ type: 'progress', line });
      const { spec, url, note } = await preparePostgres({ paths, port, onProgress });
      this.state.databaseUrl = url;
      this.note('postgres', note);
      return spec;
    });
  }

  private async startTemporal(): Promise<void> {
    const { temporalAddress, temporalBinary, dir } = this.options;
    if (temporalAddress !== undefined) return;
    if (temporalBinary === undefined) throw new Error('no temporal binary was given');
    void say({ type: 'progress', line: 'Starting Temporal' });
    await this.run('temporal', async () => {
      const { sqlite, temporalLog } = devFiles(dir);
      keepPrivate(sqlite);
      const port = await this.port('temporal');
      const uiPort = this.options.ui ? await this.port('ui') : undefined;
      this.state.temporalAddress = `127.0.0.1:${port}`;
      if (uiPort !== undefined) this.state.uiUrl = `http://127.0.0.1:${uiPort}`;
      return temporalSpec({
        ...{ binary: temporalBinary, file: sqlite, log: temporalLog, cwd: dir },
        ...{ port, uiPort, namespace: this.options.namespace, synchronous: this.options.synchronous },
      });
    });
  }

  /** Starts one server, on other ports when the chosen ones were lost meanwhile. */
  private async run(name: DevServerName, prepare: () => Promise<ServerSpec>): Promise<void> {
    for (let attempt = 1; !this.ending; attempt++) {
      const spec = await prepare();
      const server = new ManagedServer(spec, {
        onProcess: (mark) => {
          this.state.servers[name] = mark;
          writeDevState(this.options.dir, this.state);
        },
        onTrouble: (message) => void say({ type: 'event', level: 'warn', message }),
        onRecovered: () => void say({ type: 'event', level: 'info', message: `${spec.name} is back` }),
      });
      if (this.ending) return;
      this.servers.set(name, server);
      try {
        return await server.start(false);
      } catch (error) {
        if (!(error instanceof PortTakenError) || attempt === PORT_TRIES) throw error;
      }
    }
  }

  /** A wished port or none but that; otherwise the usual one, the one of the last run, or any. */
  private async port(name: 'temporal' | 'ui' | 'postgres'): Promise<number> {
    const wish = this.options.ports[name];
    const others = Object.entries(this.state.ports).flatMap(([other, port]) =>
      other === name ? [] : [port as number],
    );
    // 0: any that is free.
    const port = await choosePort(
      wish === 0 ? [] : wish === undefined ? [USUAL_PORTS[name], this.earlier?.ports[name]] : [wish],
      others,
    );
    if (wish !== undefined && wish !== 0 && port !== wish) throw new PortTakenError(wish, name);
    this.state.ports[name] = port;
    const usual = USUAL_PORTS[name];
    this.note(
      `${name}-port`,
      wish !== undefined || port === usual ? undefined : `Port ${usual} is taken: ${NAMES[name]} is at ${port}`,
    );
    return port;
  }

  /** A note on this start for a person; a later attempt says it anew, or takes it back. */
  private note(what: string, line: string | undefined): void {
    if (line === undefined) this.notes.delete(what);
    else this.notes.set(what, line);
    this.state.notes = [...this.notes.values()];
  }
}

/**
 * SQLite's files hold what workflows were given. The umask makes new ones private; those of earlier releases were not.
 */
function keepPrivate(sqlite: string): void {
  for (const file of [sqlite, `${sqlite}-wal`, `${sqlite}-shm`]) if (existsSync(file)) chmodSync(file, 0o600);
}

/** The parent may be gone at any moment; what is said to it then is lost, and that is right. */
function say(message: FromSupervisor): Promise<void> {
  return new Promise((done) => {
    if (process.connected) process.send?.(message, () => done());
    else done();
  });
}

function failure(error: unknown): FromSupervisor {
  const message = errorMessage(error);
  if (error instanceof AlreadyRunningError)
    return { type: 'failed', kind: 'already-running', message, value: error.pid };
  if (error instanceof PortTakenError) return { type: 'failed', kind: 'port-taken', message, value: error.port };
  return { type: 'failed', kind: 'other', message, value: 0 };
}

// The servers' output is for their user alone.
process.umask(0o077);
let supervisor: Supervisor | undefined;

async function begin(options: SupervisorOptions): Promise<void> {
  try {
    supervisor = new Supervisor(options);
    await supervisor.start();
  } catch (error) {
    await supervisor?.end();
    await say(failure(error));
    // Nothing is left to do: as if the parent were gone.
    process.exit(1);
  }
}

async function end(): Promise<void> {
  await supervisor?.end();
  process.exit(0);
}

process.on('message', (message: ToSupervisor) => {
  if (message.type === 'options') void begin(message.options);
  else if (supervisor) {
    void supervisor.answer(message).then(() => (message.action === 'stop' ? process.exit(0) : undefined));
  }
});
process.on('disconnect', () => void end());
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => void end());
