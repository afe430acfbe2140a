/** Two of us: databases in one namespace, nodes of one name; and what a worker says of its health. */
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Client } from 'pg';
import { pino } from 'pino';
import { connect } from '../../exports';
import { explain } from '../../cli/errors';
import { migrate } from '../../workers/migrate';
import type { WorkerSetup } from '../../workers/worker';
import { eventually, Stack } from '../support/stack';
import type { ConfigDefinition } from '../../config/define/config';
import { resolveConfig } from '../../config/resolve/config';

const log = pino({ level: 'silent' });
let stack: Stack;
beforeEach(async () => (stack = await Stack.start({ own: true })));
afterEach(() => stack.close());

const config: ConfigDefinition = {
  trackers: [{ name: 'pilots', shift: '2s', operations: { look: { every: '200ms', run: () => ({ value: 1 }) } } }],
};

async function refusal(config: ConfigDefinition, setup: Partial<WorkerSetup>): Promise<ReturnType<typeof explain>> {
  const error: unknown = await stack.worker(config, setup).then(
    () => undefined,
    (failed: unknown) => failed,
  );
  return explain(error);
}

async function otherDatabase(statement: string): Promise<string> {
  await stack.sql(statement);
  const url = new URL(stack.servers.databaseUrl);
  url.pathname = '/other';
  await migrate(url.toString(), log);
  return url.toString();
}

test('a second database in a namespace is refused, worker and client, and the first does not notice', async () => {
  const worker = await stack.worker(config);
  const a = await stack.connect();
  const { trackers } = resolveConfig(config);
  await a.tracker('pilots').start(trackers[0]!.options);
  await a.tracker('pilots').add(['p1'], { wait: true });
  const databaseUrl = await otherDatabase('create database other');

  const said = await refusal(config, { databaseUrl });
  expect(said).toMatchObject({ status: 1, unexpected: false });
  expect(said.message).toMatch(/^the namespace default belongs to another Longwatch database; .*--namespace.*--adopt$/);
  const b = await connect({
    environment: { temporal: { address: stack.servers.temporalAddress, namespace: 'default' }, databaseUrl },
  });
  try {
    await expect(b.tracker('pilots').start(trackers[0]!.options)).rejects.toThrow(
      /belongs to another Longwatch database/,
    );
  } finally {
    await b.close();
  }
  const fetched = (await a.tracker('pilots').show('p1')).values[0]?.fetchedAt;
  await eventually('A goes on', async () => (await a.tracker('pilots').show('p1')).values[0]?.fetchedAt !== fetched);
  // Refused, it has left nothing that would refuse it elsewhere.
  const { rows } = await stack.pool.query('select 1 from longwatch.deployment');
  expect(rows).toHaveLength(1);
  await worker.shutdown();
  await (await stack.worker(config)).shutdown();
});

test('a copy of the database is another one, until it is told to adopt the namespace', async () => {
  await (await stack.worker(config)).shutdown();
  await stack.pool.query('select 1');
  await stack
    .sql(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = 'longwatch' and pid <> pg_backend_pid()`,
    )
    .catch(() => undefined);
  const admin = new URL(stack.servers.databaseUrl);
  admin.pathname = '/postgres';
  const client = new Client({ connectionString: admin.toString() });
  await client.connect();
  await eventually('nobody is connected to what is copied', async () => {
    await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'longwatch'`);
    await client.query('create database other template longwatch');
    return true;
  });
  await client.end();
  const copy = new URL(stack.servers.databaseUrl);
  copy.pathname = '/other';

  expect((await refusal(config, { databaseUrl: copy.toString() })).message).toMatch(
    /belongs to another Longwatch database/,
  );
  await (await stack.worker(config, { databaseUrl: copy.toString(), adopt: true })).shutdown();
  // Told again, it has nothing to adopt.
  await (await stack.worker(config, { databaseUrl: copy.toString(), adopt: true })).shutdown();
  const of = new Client({ connectionString: copy.toString() });
  await of.connect();
  const { rows } = await of.query(
    `select what, subject, outcome, after ->> 'namespaceOf' as took from longwatch.audit where what <> 'migrate'`,
  );
  await of.end();
  expect(rows).toEqual([
    { what: 'worker --adopt', subject: 'deployment/default', outcome: 'done', took: 'another database' },
  ]);
  await (await stack.worker(config, { databaseUrl: copy.toString() })).shutdown();
  expect((await refusal(config, {})).message).toMatch(/belongs to another Longwatch database/);
});

test('a second worker of one name is refused with host and process of the first, and has it once that one has ended', async () => {
  const first = await stack.worker(config, { nodeName: 'only-one' });
  const said = await refusal(config, { nodeName: 'only-one', nodeTimeout: '100ms' });
  expect(said).toMatchObject({ status: 1, unexpected: false });
  expect(said.message).toMatch(
    new RegExp(`^a worker of the name only-one is running \\(on .+, process ${process.pid}\\).*--name`),
  );
  await first.shutdown();
  await (await stack.worker(config, { nodeName: 'only-one' })).shutdown();
});

test('a worker whose start failed has left nothing behind: its name and its port are free in the same process', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const { port } = blocker.address() as AddressInfo;
  expect((await refusal(config, { nodeName: 'again', metrics: { port } })).message).toMatch(/metrics port/);
  blocker.close();
  await once(blocker, 'close');
  // Later on: it has its page, its node and its pools by then.
  const late = { nodeName: 'again', metrics: { port }, workflowBundle: '/there/is/none.js' };
  expect((await refusal(config, late)).message).toMatch(/none\.js/);
  await (await stack.worker(config, { nodeName: 'again', metrics: { port } })).shutdown();
});

test('health: alive while it runs, ready while what it needs answers and fits', async () => {
  const worker = await stack.worker(config);
  const ask = async (path: string) => {
    const answer = await fetch(new URL(path, worker.metricsUrl));
    return `${answer.status} ${(await answer.text()).trim()}`;
  };
  await eventually('it is ready', async () => (await ask('/readyz')) === '200 ok');
  expect(await ask('/healthz')).toBe('200 ok');
  await stack.sql(`insert into longwatch.longwatch_migrations (name, run_on) values ('9999_later', now())`);
  await eventually('the schema does not fit', async () => (await ask('/readyz')) === '503 schema: not of this version');
  await stack.sql(`delete from longwatch.longwatch_migrations where name = '9999_later'`);
  await eventually('it fits again', async () => (await ask('/readyz')) === '200 ok');
  await stack.servers.kill('postgres');
  await eventually('PostgreSQL is away', async () => (await ask('/readyz')) === '503 postgresql: does not answer');
  expect(await ask('/healthz')).toBe('200 ok');
  await stack.servers.start('postgres');
  await stack.servers.kill('temporal');
  await eventually('Temporal is away', async () => (await ask('/readyz')) === '503 temporal: does not answer');
  await stack.servers.start('temporal');
  await eventually('all is well again', async () => (await ask('/readyz')) === '200 ok');
});

test('a metrics port that is taken is said; one that was asked for is never another', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    const said = await refusal(config, { metrics: { port } });
    expect(said).toEqual({
      status: 1,
      unexpected: false,
      message: `the metrics port ${port} of 127.0.0.1 is taken; give another with --metrics-port, or 0 for a free one`,
    });
  } finally {
    server.close();
  }
});

test('in production the usual port is that port or none; elsewhere another one is said', async () => {
  const lines: string[] = [];
  const heard = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const server = createServer();
  // Somebody else may have it already, which is as good.
  await new Promise((taken) => server.once('listening', taken).once('error', taken).listen(9464, '127.0.0.1'));
  const before = process.env.NODE_ENV;
  try {
    const worker = await stack.worker(config, { metrics: {}, log: heard });
    expect(lines.join()).toMatch(/the port 9464 is taken/);
    await worker.shutdown();
    process.env.NODE_ENV = 'production';
    expect((await refusal(config, { metrics: {} })).message).toMatch(/^the metrics port 9464 of 127\.0\.0\.1 is taken/);
  } finally {
    process.env.NODE_ENV = before;
    server.close();
  }
});

test('an activity of one of our names is refused in one line, from a list or a module', async () => {
  const mine = { name: 'openTracker', run: () => Promise.resolve(1) };
  for (const activities of [[mine], { mine }, { default: mine }]) {
    expect(await refusal({ ...config, activities }, {})).toEqual({
      status: 2,
      unexpected: false,
      message: 'activities.openTracker: Longwatch has an activity of that name; use another one',
    });
  }
});
