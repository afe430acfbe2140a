/**
 * Debian's PgBouncer in transaction mode before a test's PostgreSQL, for `pooler.test.ts`. It has four server
 * connections for everybody, so that a client meets another one in nearly every transaction.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { postgresPackage } from '../../workers/dev/postgres-binaries';
import { groundOf } from '../../workers/dev/postgres-ground';
import { freePort } from '../../workers/metrics';
import { eventually } from '../support/stack';

/** Undefined where it is not installed. */
export function findPgBouncer(): string | undefined {
  for (const file of ['pgbouncer', '/usr/sbin/pgbouncer']) {
    try {
      execFileSync(file, ['--version'], { stdio: 'ignore' });
      return file;
    } catch {
      // Not that one.
    }
  }
  return undefined;
}

export class Pooler {
  private constructor(
    readonly url: string,
    private readonly process: ChildProcess,
  ) {}

  static async start(program: string, stack: { dir: string; servers: { databaseUrl: string } }): Promise<Pooler> {
    const port = await freePort();
    const folder = path.join(stack.dir, `pooler-${port}`);
    mkdirSync(folder);
    const { hostname, port: server, username, password, pathname } = new URL(stack.servers.databaseUrl);
    const file = path.join(folder, 'pgbouncer.ini');
    writeFileSync(
      file,
      `[databases]
longwatch = host=${hostname} port=${server} user=${username} password=${password} dbname=${pathname.slice(1)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_lifetime = 1
max_client_conn = 200
`,
    );
    // It does not run as root either.
    const as = groundOf({ binaries: postgresPackage(), data: path.join(folder, 'data') });
    chmodSync(folder, 0o755);
    chmodSync(file, 0o644);
    const child = spawn(program, [file], { ...as.spawn, stdio: 'ignore' });
    const url = `postgres://anybody@127.0.0.1:${port}/longwatch`;
    await eventually('PgBouncer answers', async () => {
      const client = new Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        return (await client.query('select 1')).rowCount === 1;
      } finally {
        await client.end().catch(() => undefined);
      }
    });
    return new Pooler(url, child);
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.kill('SIGINT');
    this.process.kill('SIGTERM');
    await exited;
  }
}
