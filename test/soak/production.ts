/**
 * `npm run soak -- production`: the bad days of a cluster of four processes, a rolling restart among them, on the
 * server that production has: Temporal's own, not the development one, with PostgreSQL as its store. It needs no
 * container engine: the server is built as a Go module (`newest-server.ts`), and its schemas come with that.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { startDevServers } from '../../workers/dev/servers';
import { built, commandFor, NEWEST_SERVER } from './newest-server';

const ROOT = path.join(__dirname, '..', '..');
const DATABASE = 'temporal';
const NODES = 4;
/** The rolling restart first, then each of these once, then any. */
const DAYS = ['rolling restart', 'kill -9', 'freeze', 'cut off from both', 'Temporal restarted', 'drain'];
const EVERY_S = 30;

/** @returns 0 when all of it holds */
export async function badDaysInProduction(members: string, say: (line: string) => void): Promise<number> {
  const server = await built(say);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'longwatch-production-'));
  // Beside Longwatch's own: two database servers, as in docker-compose.yml.
  const store = await startDevServers({ dir: path.join(folder, 'store'), ui: false, temporalAddress: 'given:1' });
  try {
    const url = new URL(store.databaseUrl);
    url.pathname = `/${DATABASE}`;
    for (const [of, name] of [
      ['temporal', DATABASE],
      ['visibility', `${DATABASE}_visibility`],
    ] as const)
      say(`${name}: schema ${await withSchema(store.databaseUrl, of, name)}`);
    const started = path.join(folder, 'started');
    writeFileSync(started, '');
    const status = await badDays(commandFor(server, folder, started), url.href, members);
    const versions = readFileSync(started, 'utf8').split('\n').filter(Boolean);
    say(`Temporal ${[...new Set(versions)].join(', ') || 'was not started'}, ${versions.length} times, on PostgreSQL`);
    const isIt = versions.length > 0 && versions.every((version) => version === NEWEST_SERVER);
    return status === 0 && isIt ? 0 : 1;
  } finally {
    await store.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Makes the database as Temporal's own tool does. @returns the version of its schema */
async function withSchema(databaseUrl: string, of: 'temporal' | 'visibility', name: string): Promise<string> {
  const { stdout } = await promisify(execFile)('go', ['env', 'GOMODCACHE']);
  const module = `go.temporal.io/server@v${NEWEST_SERVER}`;
  const schema = path.join(stdout.trim(), module, 'schema', 'postgresql', 'v12', of);
  const numbers = readdirSync(path.join(schema, 'versioned')).map((each) => each.slice(1).split('.').map(Number));
  const version = numbers
    .sort(([a, b], [c, d]) => a! - c! || b! - d!)
    .at(-1)!
    .join('.');
  await query(databaseUrl, `create database ${name}`);
  const url = new URL(databaseUrl);
  url.pathname = `/${name}`;
  await query(url.href, readFileSync(path.join(schema, 'schema.sql'), 'utf8'));
  await query(
    url.href,
    `create table schema_version (version_partition int not null, db_name varchar(255) not null, creation_time timestamp,
       curr_version varchar(64), min_compatible_version varchar(64), primary key (version_partition, db_name));
     insert into schema_version values (0, '${name}', now(), '${version}', '1.0')`,
  );
  return version;
}

async function query(url: string, text: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

/** The example of a cluster, whose development stack takes the script on PATH for Temporal's command. */
async function badDays(bin: string, store: string, members: string): Promise<number> {
  const only = DAYS.flatMap((day) => ['--only', day]);
  const times = ['--kill-every', `${EVERY_S}s`, '--for', `${(DAYS.length + 2) * EVERY_S}s`];
  const args = ['eve', '--nodes', String(NODES), '--members', members, ...times, ...only];
  const child = spawn('npm', ['run', 'example', '--', ...args], {
    cwd: ROOT,
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, LONGWATCH_TEMPORAL_STORE: store },
    stdio: 'inherit',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}
