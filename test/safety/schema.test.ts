/**
 * Migrations by roles of few rights, by several at once, over an older list; and workers of another version than the
 * schema.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { explain } from '../../cli/errors';
import { main } from '../../cli/main';
import { createDurableActivities } from '../../workers/durable';
import { createWorker } from '../../workers/worker';
import { migrate } from '../../workers/migrate';
import { migrations, migrationsFolder, schemaProblem } from '../../workers/schema';
import { Stack } from '../support/stack';
import { withTemporal } from '../support/temporal';
import { resolveConfig } from '../../config/resolve/config';

const log = pino({ level: 'silent' });
let stack: Stack;
beforeAll(async () => (stack = await Stack.start({ own: true })));
afterAll(() => stack.close());

function urlOf(database: string, role?: string): string {
  const url = new URL(stack.servers.databaseUrl);
  url.pathname = `/${database}`;
  if (role) Object.assign(url, { username: role, password: 'own' });
  return url.toString();
}

async function on<T>(url: string, act: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await act(client);
  } finally {
    await client.end();
  }
}

let made = 0;
/** A database, and a role that may do in it what is granted. */
async function newDatabase(...grants: string[]): Promise<{ name: string; role: string; url: string }> {
  const name = `other_${++made}`;
  const role = `role_${made}`;
  await stack.sql(`create database ${name}`);
  await stack.sql(`create role ${role} login password 'own'`);
  await on(urlOf(name), async (client) => {
    // As PostgreSQL 15 and newer has it, whatever version runs here.
    await client.query('revoke create on schema public from public');
    for (const grant of grants) await client.query(grant.replaceAll('$role', role).replaceAll('$database', name));
  });
  return { name, role, url: urlOf(name, role) };
}

async function cli(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const catching = (into: string[]) => (text: unknown) => {
    into.push(String(text));
    return true;
  };
  const spies = [
    jest.spyOn(process.stdout, 'write').mockImplementation(catching(out)),
    jest.spyOn(process.stderr, 'write').mockImplementation(catching(err)),
  ];
  try {
    return { status: await main(args), out: out.join(''), err: err.join('') };
  } finally {
    spies.forEach((spy) => spy.mockRestore());
  }
}

describe('roles of few rights', () => {
  test.each([
    ['who may create its schema', 'grant create on database $database to $role'],
    ['who owns a schema that somebody else has made', 'create schema longwatch authorization $role'],
  ])('%s migrates, and has all of it in that schema', async (_who, grant) => {
    const { url } = await newDatabase(grant);
    expect(await migrate(url, log)).toEqual(migrations());
    await on(url, async (client) => {
      const { rows } = await client.query<{ schema: string }>(
        `select distinct relnamespace::regnamespace::text as schema from pg_class where relowner = current_user::regrole and relnamespace <> 'pg_toast'::regnamespace`,
      );
      expect(rows).toEqual([{ schema: 'longwatch' }]);
    });
    expect(await migrate(url, log)).toEqual([]);
  });

  test.each([
    ['nobody has a right to', 'revoke all on schema public from public'],
    ['is not there', 'drop schema public'],
  ])('a database where public %s is migrated all the same', async (_how, hardened) => {
    const { url } = await newDatabase('grant create on database $database to $role', hardened);
    expect(await migrate(url, log)).toEqual(migrations());
    expect(await migrate(url, log)).toEqual([]);
  });

  test('a migration takes longer than the statements of its role may', async () => {
    const { url, role } = await newDatabase('grant create on schema public to $role');
    await stack.sql(`alter role ${role} set statement_timeout = '1s'`);
    const folder = mkdtempSync(path.join(tmpdir(), 'longwatch-slow-'));
    try {
      writeFileSync(path.join(folder, '0001_slow.sql'), '-- Up Migration\nselect pg_sleep(1.5);');
      expect(await migrate(url, log, { folder, table: 'own_migrations' })).toEqual(['0001_slow']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('who has no right to the schema is told by every verb where the rights are written down', async () => {
    const { name } = await newDatabase('grant create on database $database to $role');
    await migrate(urlOf(name), log);
    await stack.sql(`create role stranger_${name} login password 'own'`);
    const { status, err } = await cli('status', '--database', urlOf(name, `stranger_${name}`));
    expect({ status, err: err.trim() }).toEqual({
      status: 1,
      err: 'permission denied for schema longwatch; what each role may do is in docs/security.md',
    });
  });

  test('who may not is told in one line which right is missing', async () => {
    const { url, name, role } = await newDatabase();
    const { status, out, err } = await cli('migrate', '--database', url);
    expect({ status, out }).toEqual({ status: 1, out: '' });
    expect(err.trim().split('\n')).toEqual([
      expect.stringContaining(`grant create on database ${name} to ${role}`) as string,
    ]);
  });

  test('who meets a table that somebody keeps locked is told what to end', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'longwatch-own-'));
    // As a statement ends that has waited for its lock for half a minute.
    writeFileSync(
      path.join(folder, '0001_waits.sql'),
      `-- Up Migration\ndo $$ begin raise 'canceling statement due to lock timeout' using errcode = '55P03'; end $$;`,
    );
    const { name } = await newDatabase();
    try {
      const failed: unknown = await migrate(urlOf(name), log, { folder, table: 'own_migrations' }).catch(
        (error: unknown) => error,
      );
      const message = expect.stringMatching(/a table is in use.*pg_stat_activity.*run migrate again$/) as string;
      expect(explain(failed)).toEqual({ message, status: 1, unexpected: false });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('who is not the owner of a schema that is there, too', async () => {
    const { url } = await newDatabase('create schema longwatch');
    const { status, err } = await cli('migrate', '--database', url);
    expect(status).toBe(1);
    expect(err.trim().split('\n')).toEqual([expect.stringContaining('belongs to another role') as string]);
  });
});

describe('a list that an earlier version kept in public', () => {
  /** The schema as it was then: the first six files, and their names in public. */
  async function olderDatabase(...more: string[]) {
    const of = await newDatabase('grant create on database $database to $role');
    const older = [
      '0001_tracker',
      '0002_durable',
      '0003_buffers',
      '0004_populations',
      '0005_buffer_settings',
      '0006_outbox_lanes',
    ];
    await on(of.url, async (client) => {
      for (const name of older) {
        const [up] = readFileSync(path.join(migrationsFolder(), `${name}.sql`), 'utf8').split('-- Down Migration');
        await client.query(up!);
      }
      await client.query(`insert into longwatch.tracker (name, options) values ('kept', '{}')`);
    });
    await on(urlOf(of.name), async (client) => {
      await client.query(
        'create table public.longwatch_migrations (id serial primary key, name varchar(255) not null, run_on timestamp not null)',
      );
      await client.query(
        'insert into public.longwatch_migrations (name, run_on) select name, now() from unnest($1::text[]) as name',
        [older],
      );
      for (const one of more) await client.query(one.replaceAll('$role', of.role));
    });
    return { ...of, older };
  }

  test.each([
    ['moved by its owner', ['alter table public.longwatch_migrations owner to $role']],
    ['copied by who may only read it', ['grant select on public.longwatch_migrations to $role']],
  ])(
    'is %s: nothing is applied twice, what is there stays, what is new is applied in whatever order',
    async (_how, more) => {
      const { url, older } = await olderDatabase(...more);
      expect(await migrate(url, log)).toEqual(migrations().filter((name) => !older.includes(name)));
      const database = new Database({ url, log });
      try {
        expect(await schemaProblem(database)).toBeUndefined();
        expect(await database.rows({ name: '', text: 'select name from longwatch.tracker' })).toEqual([
          { name: 'kept' },
        ]);
      } finally {
        await database.close();
      }
    },
  );
});

test('of four at once one migrates, and the others wait and find nothing to do', async () => {
  const { url } = await newDatabase('grant create on database $database to $role');
  const all = await Promise.all([1, 2, 3, 4].map(() => migrate(url, log)));
  expect(all.map((applied) => applied.length).sort()).toEqual([0, 0, 0, migrations().length]);
});

test('it waits for one that is under way, and says for whom', async () => {
  const { url } = await newDatabase('grant create on database $database to $role');
  const lines: string[] = [];
  await on(url, async (client) => {
    await client.query('select pg_advisory_lock(4601870912441)');
    const said = new Promise<void>((resolve) => {
      const heard = pino({ level: 'warn' }, { write: (line: string) => (lines.push(line), resolve()) });
      waiting = migrate(url, heard);
    });
    await said;
  });
  expect(await waiting).toEqual(migrations());
  expect(lines.join('')).toMatch(
    /another migration is running \(session \d+ of PostgreSQL, from 127\.0\.0\.1\): waiting/,
  );
});
let waiting: Promise<string[]>;

describe('a worker of another version than the schema', () => {
  const start = (databaseUrl: string) =>
    createWorker({
      config: resolveConfig({
        trackers: [{ name: 't', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }],
      }),
      temporal: { address: stack.servers.temporalAddress, namespace: stack.servers.namespace },
      databaseUrl,
      metrics: { port: 0 },
      log,
      watchdogMs: null,
      workflowBundle: process.env.LONGWATCH_TEST_BUNDLE,
    });

  test.each<[what: string, change: string, says: RegExp]>([
    [
      'older',
      `delete from longwatch.longwatch_migrations where name = '0006_outbox_lanes'`,
      /older than this worker \(without 0006_outbox_lanes\).*npx longwatch migrate/,
    ],
    [
      'newer',
      `insert into longwatch.longwatch_migrations (name, run_on) values ('9999_later', now())`,
      /newer than this worker \(it has 9999_later\); upgrade the worker/,
    ],
    [
      'without a schema',
      'drop schema longwatch cascade',
      /has no \(or an old\) Longwatch schema.*npx longwatch migrate/,
    ],
  ])('%s: is refused before it takes a task, in one line', async (_what, change, says) => {
    const { url } = await newDatabase('grant create on database $database to $role');
    await migrate(url, log);
    await on(url, (client) => client.query(change));
    const durable = () =>
      withTemporal(stack.servers, (client) => createDurableActivities([], { databaseUrl: url, client, log }));
    for (const one of [start, durable]) {
      const error: unknown = await one(url).then(
        () => undefined,
        (failed: unknown) => failed,
      );
      expect(explain(error)).toEqual({ message: expect.stringMatching(says) as string, status: 1, unexpected: false });
    }
  });
});
