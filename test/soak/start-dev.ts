/**
 * `temporal server start-dev` for a server that comes without that command. Called by the script that
 * `newest-server.ts` puts on PATH: `start-dev.ts PID STARTED server start-dev --port …`. It writes the settings that
 * the server alone wants to have, prints the server's arguments, and leaves a process behind that registers the
 * namespace and the search attributes once the server answers, and notes in the file STARTED which version answered.
 * The server's store is SQLite, as the command's, or the PostgreSQL that LONGWATCH_TEMPORAL_STORE names.
 * PID is the script's, and then the server's own.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { stringify } from 'yaml';

/** As the command has them; and a namespace that is registered later than the server starts is known at once. */
const OWN_SETTINGS = {
  'frontend.namespaceRPS.visibility': [{ value: 100 }],
  'history.hostLevelCacheMaxSize': [{ value: 8_096 }],
  'system.namespaceCacheRefreshInterval': [{ value: '50ms' }],
};

const RETENTION_MS = 3 * 24 * 3_600_000;
/** temporal.api.enums.v1.IndexedValueType, by the names of the command line. */
const TYPES: Record<string, number> = { Keyword: 2, Int: 3 };
const REGISTERED_WITHIN_MS = 60_000;
/** The address of PostgreSQL with the name of a database: the server keeps everything there, and not in a file. */
const POSTGRES_STORE = 'LONGWATCH_TEMPORAL_STORE';
/** The ports of three services and the HTTP page, and four for membership. */
const SERVICE_PORTS = 8;

interface Flags {
  ip: string;
  port: number;
  namespace: string;
  logLevel: string;
  file: string;
  pragmas: Record<string, string>;
  settings: Record<string, unknown>;
  attributes: Record<string, number>;
}

/**
 * Every flag that `workers/dev/temporal-server.ts` gives; one that is new there ends this, so that it is not left out
 * unseen.
 */
function flagsOf(args: string[]): Flags {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ip: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '7233' },
      namespace: { type: 'string', default: 'default' },
      'log-level': { type: 'string', default: 'info' },
      'db-filename': { type: 'string' },
      'sqlite-pragma': { type: 'string', multiple: true, default: [] },
      'dynamic-config-value': { type: 'string', multiple: true, default: [] },
      'search-attribute': { type: 'string', multiple: true, default: [] },
      headless: { type: 'boolean' },
      'ui-port': { type: 'string' },
    },
  });
  if (positionals.join(' ') !== 'server start-dev') throw new Error(`not known: ${positionals.join(' ')}`);
  if (values['db-filename'] === undefined) throw new Error('--db-filename is missing');
  if (values['ui-port'] !== undefined)
    process.stderr.write('the server alone has no web page: --ui-port is left out\n');
  return {
    ip: values.ip,
    port: Number(values.port),
    namespace: values.namespace,
    logLevel: values['log-level'],
    file: values['db-filename'],
    pragmas: pairs(values['sqlite-pragma'], (value) => value),
    settings: pairs(values['dynamic-config-value'], (value) => JSON.parse(value) as unknown),
    attributes: pairs(values['search-attribute'], typeOf),
  };
}

function pairs<T>(words: string[], read: (value: string) => T): Record<string, T> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      return [word.slice(0, at), read(word.slice(at + 1))];
    }),
  );
}

function typeOf(name: string): number {
  const type = TYPES[name];
  if (type === undefined) throw new Error(`search attributes of type ${name} are not known here`);
  return type;
}

/**
 * The address at which the server's services find each other. Kept for the next start on the same database: a server
 * that was killed stands in its list of members for a while, and one that came back at other ports would go on asking
 * there.
 */
async function servicePorts(file: string): Promise<number[]> {
  const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as number[]) : [];
  const ports = (await listenOn(kept)) ?? (await listenOn(Array.from({ length: SERVICE_PORTS }, () => 0)))!;
  writeFileSync(file, JSON.stringify(ports));
  return ports;
}

/** @returns the ports, free again; undefined where there are none, or one of them is taken */
async function listenOn(wanted: number[]): Promise<number[] | undefined> {
  const servers = wanted.map((port) => createServer().listen(port, '127.0.0.1'));
  const listening = await Promise.allSettled(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo | null)?.port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  const all = ports.length > 0 && listening.every(({ status }) => status === 'fulfilled');
  return all ? (ports as number[]) : undefined;
}

/** @returns the settings' file */
async function write(flags: Flags): Promise<string> {
  // Beside the database, so that it goes with it.
  const folder = `${flags.file}.settings`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const dynamicFile = path.join(folder, 'dynamic.yaml');
  const file = path.join(folder, 'server.yaml');
  const [matching, history, worker, http, ...members] = await servicePorts(path.join(folder, 'ports.json'));
  const given = process.env[POSTGRES_STORE];
  const { store, visibility, shards } = given === undefined ? sqlite(flags) : postgres(new URL(given));
  const service = (grpcPort: number, membershipPort: number, more: object = {}) => ({
    rpc: { grpcPort, membershipPort, bindOnIP: flags.ip, ...more },
  });
  const settings = Object.fromEntries(Object.entries(flags.settings).map(([key, value]) => [key, [{ value }]]));
  writeFileSync(dynamicFile, stringify({ ...OWN_SETTINGS, ...settings }));
  writeFileSync(
    file,
    stringify({
      log: { stdout: true, level: flags.logLevel },
      persistence: {
        ...{ defaultStore: 'store', visibilityStore: 'visibility', numHistoryShards: shards },
        datastores: { store, visibility },
      },
      global: { membership: { maxJoinDuration: '30s', broadcastAddress: flags.ip } },
      services: {
        frontend: service(flags.port, members[0]!, { httpPort: http }),
        matching: service(matching!, members[1]!),
        history: service(history!, members[2]!),
        worker: service(worker!, members[3]!),
      },
      clusterMetadata: {
        ...{ enableGlobalNamespace: false, failoverVersionIncrement: 10 },
        ...{ masterClusterName: 'active', currentClusterName: 'active' },
        clusterInformation: {
          active: {
            enabled: true,
            initialFailoverVersion: 1,
            rpcName: 'frontend',
            rpcAddress: `${flags.ip}:${flags.port}`,
          },
        },
      },
      dcRedirectionPolicy: { policy: 'noop' },
      dynamicConfigClient: { filepath: dynamicFile, pollInterval: '1m' },
    }),
  );
  return file;
}

interface Stores {
  store: object;
  visibility: object;
  shards: number;
}

function sqlite({ file, pragmas }: Flags): Stores {
  const store = {
    sql: {
      ...{ pluginName: 'sqlite', databaseName: file, connectAddr: 'localhost', connectProtocol: 'tcp' },
      connectAttributes: { cache: 'private', setup: 'true', mode: 'rwc', ...pragmas },
      ...{ maxConns: 1, maxIdleConns: 1 },
    },
  };
  return { store, visibility: store, shards: 1 };
}

/** As in production: two databases that have their schema already (`production.ts`). */
function postgres({ host, username, password, pathname }: URL): Stores {
  const storeOf = (databaseName: string, connections: number) => ({
    sql: {
      ...{ pluginName: 'postgres12', databaseName, connectAddr: host, connectProtocol: 'tcp' },
      ...{ user: decodeURIComponent(username), password: decodeURIComponent(password) },
      ...{ maxConns: connections, maxIdleConns: connections, maxConnLifetime: '1h' },
    },
  });
  const name = pathname.slice(1);
  return { store: storeOf(name, 20), visibility: storeOf(`${name}_visibility`, 5), shards: 4 };
}

interface Registration {
  pid: number;
  started: string;
  address: string;
  namespace: string;
  attributes: Record<string, number>;
}

/** The things that the command does for its server: the namespace, and search attributes by their names. */
async function register({ pid, started, address, namespace, attributes }: Registration): Promise<void> {
  const until = Date.now() + REGISTERED_WITHIN_MS;
  for (;;) {
    try {
      const connection = await Connection.connect({ address, connectTimeout: '2s' });
      try {
        await connection.workflowService
          .registerNamespace({ namespace, workflowExecutionRetentionPeriod: msToTs(RETENTION_MS) })
          .catch(alreadyThere);
        await connection.operatorService
          .addSearchAttributes({ namespace, searchAttributes: attributes })
          .catch(alreadyThere);
        const { serverVersion } = await connection.workflowService.getSystemInfo({});
        appendFileSync(started, `${serverVersion}\n`);
        return;
      } finally {
        await connection.close();
      }
    } catch (error) {
      if (!runs(pid)) return;
      if (Date.now() > until) throw error;
      await delay(50);
    }
  }
}

function alreadyThere(error: unknown): void {
  if (!/already/i.test(String(error))) throw error;
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function main(): Promise<void> {
  const [pid, started, ...args] = process.argv.slice(2) as [string, string, ...string[]];
  if (pid === '--register') return register(JSON.parse(started) as Registration);
  const flags = flagsOf(args);
  const file = await write(flags);
  const { namespace, attributes } = flags;
  const address = `${flags.ip}:${flags.port}`;
  // Without the database's path: whoever looks for what runs for it must find the server alone.
  const task: Registration = { pid: Number(pid), started, address, namespace, attributes };
  const command = ['--require', require.resolve('tsx/cjs'), __filename, '--register', JSON.stringify(task)];
  spawn(process.execPath, command, { detached: true, stdio: ['ignore', 'ignore', 'inherit'] }).unref();
  // The server takes the last one of the two files. The first is for whoever looks for a server on this database
  // (`orphans.ts`).
  const words = ['--config-file', flags.file, '--config-file', file, '--allow-no-auth', 'start'];
  process.stdout.write(words.join('\n'));
}

main().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
