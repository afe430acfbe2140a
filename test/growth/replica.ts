/**
 * A streaming replica of a test's own PostgreSQL, for `replica.test.ts` and others: the server's files are copied while
 * it runs, and a second server follows the first. No program but the server's is needed for it.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, rmSync, writeFileSync, appendFileSync } from 'node:fs';
import path from 'node:path';
import { Client, Pool, type QueryResultRow } from 'pg';
import { postgresEnvironment, postgresPackage } from '../../workers/dev/postgres-binaries';
import { groundOf } from '../../workers/dev/postgres-ground';
import { freePort } from '../../workers/metrics';
import { eventually, type Stack } from '../support/stack';

export class Replica {
  private constructor(
    readonly url: string,
    private readonly server: ChildProcess,
    private readonly pool: Pool,
    private readonly primary: Pool,
  ) {}

  static async start(stack: Stack, settings: Record<string, string> = {}): Promise<Replica> {
    const port = await freePort();
    const data = path.join(stack.dir, `replica-${port}`);
    await copyServer(stack, data);
    const all = {
      port: String(port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      // A replica refuses to have fewer than the server that it follows.
      max_connections: '200',
      ...settings,
    };
    const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const ground = groundOf({ binaries: postgresPackage(), data });
    const server = spawn(ground.programs.postgres, ['-D', data, ...flags], {
      ...{ cwd: data, env: postgresEnvironment(), stdio: 'ignore' as const },
      ...ground.spawn,
    });
    const url = new URL(stack.servers.databaseUrl);
    url.port = String(port);
    const pool = new Pool({ connectionString: url.href, max: 2 });
    pool.on('error', () => undefined);
    const replica = new Replica(url.href, server, pool, stack.pool);
    await eventually('the replica follows', async () => {
      const [row] = await replica.sql<{ follows: boolean }>(`select pg_is_in_recovery() as follows`);
      return row?.follows;
    });
    return replica;
  }

  async sql<R extends QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    return (await this.pool.query<R>(text, values)).rows;
  }

  /** Resolves when it shows all that has been committed until now. */
  async caughtUp(): Promise<void> {
    const { rows } = await this.primary.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
    await eventually('the replica has caught up', async () => {
      const [row] = await this.sql<{ there: boolean }>('select pg_last_wal_replay_lsn() >= $1::pg_lsn as there', [
        rows[0]!.lsn,
      ]);
      return row?.there;
    });
  }

  /** Commits from now on are received and not shown. */
  async pause(): Promise<void> {
    await this.caughtUp();
    await this.sql('select pg_wal_replay_pause()');
    await eventually('the replica stands still', async () => {
      const [row] = await this.sql<{ state: string }>('select pg_get_wal_replay_pause_state() as state');
      return row?.state === 'paused';
    });
  }

  async resume(): Promise<void> {
    // It may be the first that the replica ends for the sake of what it replays then: it has done its work by that
    // time.
    await this.sql('select pg_wal_replay_resume()').catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== '40001') throw error;
    });
    await this.caughtUp();
  }

  async stop(): Promise<void> {
    await this.pool.end().catch(() => undefined);
    if (this.server.exitCode !== null || this.server.signalCode !== null) return;
    const exited = once(this.server, 'exit');
    this.server.kill('SIGINT');
    await exited;
  }
}

/** The files as they are while the server writes them, with the label that says from where on its log repairs them. */
async function copyServer(stack: Stack, data: string): Promise<void> {
  const client = new Client({ connectionString: stack.servers.databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ folder: string }>(`select current_setting('data_directory') as folder`);
    await client.query(`select pg_backup_start('replica', fast => true)`);
    // It complains about files that vanish meanwhile, which is as it should be.
    try {
      execFileSync('cp', ['-a', rows[0]!.folder, data], { stdio: 'ignore' });
    } catch {
      /* see above */
    }
    const { rows: stopped } = await client.query<{ labelfile: string }>(
      'select labelfile from pg_backup_stop(wait_for_archive => false)',
    );
    for (const name of ['postmaster.pid', 'postmaster.opts']) rmSync(path.join(data, name), { force: true });
    const { owner } = groundOf({ binaries: postgresPackage(), data });
    const write = (name: string, text: string): void => {
      const file = path.join(data, name);
      writeFileSync(file, text, { mode: 0o600 });
      if (owner) chownSync(file, owner.uid, owner.gid);
    };
    write('backup_label', stopped[0]!.labelfile);
    write('standby.signal', '');
    const { hostname, port, username, password } = new URL(stack.servers.databaseUrl);
    const source = `host=${hostname} port=${port} user=${username} password=${password}`;
    appendFileSync(path.join(data, 'postgresql.auto.conf'), `primary_conninfo = '${source}'\n`);
  } finally {
    await client.end();
  }
}
