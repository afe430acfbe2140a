/** The roles of docs/security.md, as they stand there: each can do what it says, and no more. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { pino } from 'pino';
import { connect, defineBuffer, defineConfig, defineRegen, defineTracker } from '../../exports';
import { migrate } from '../../workers/migrate';
import { migrations } from '../../workers/schema';
import { eventually, Stack } from '../support/stack';
import { resolveConfig } from '../../config/resolve/config';

const page = readFileSync(path.join(__dirname, '../../docs/security.md'), 'utf8');
// The page has other SQL too: this is the block that makes the roles.
const script = /```sql\n(create role .*?)```/s.exec(page)![1]!;
/** Keeps what operators did as it was written. */
const unchangeable = /```sql\n(revoke update, delete, truncate on longwatch\.audit .*?)```/s.exec(page)![1]!;
const PASSWORDS = { lw_owner: 'CHANGE-ME-1', lw_worker: 'CHANGE-ME-2', lw_reader: 'CHANGE-ME-3' };

let stack: Stack;
beforeAll(async () => (stack = await Stack.start({ own: true })));
afterAll(() => stack.close());

function urlOf(role?: keyof typeof PASSWORDS): string {
  const url = new URL(stack.servers.databaseUrl);
  url.pathname = '/own';
  if (role) Object.assign(url, { username: role, password: PASSWORDS[role] });
  return url.toString();
}

async function as<T>(role: keyof typeof PASSWORDS | undefined, act: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: urlOf(role) });
  await client.connect();
  try {
    return await act(client);
  } finally {
    await client.end();
  }
}

const config = defineConfig({
  trackers: [
    defineTracker({ name: 'people', shift: '2s', operations: { look: { every: '300ms', run: () => ({ value: 1 }) } } }),
  ],
  buffers: [defineBuffer({ name: 'box', key: 'id', shards: 1, flushInterval: '50ms', run: () => undefined })],
  regens: [defineRegen({ name: 'stamina', every: '1h', table: 'player', set: { stamina: 'stamina + 1' } })],
});

test('the owner migrates, the worker works, the reader reads, and each is refused the rest', async () => {
  await stack.sql('create database own');
  await as(undefined, async (admin) => {
    await admin.query('revoke create on schema public from public');
    await admin.query(script);
    await admin.query('create table player (id int primary key, stamina int not null default 0)');
    await admin.query('insert into player select generate_series(1, 10)');
    await admin.query('create table secret (x int)');
    await admin.query('grant select, update on player to lw_worker');
  });
  expect(await migrate(urlOf('lw_owner'), pino({ level: 'silent' }))).toEqual(migrations());
  await as('lw_owner', (owner) => owner.query(unchangeable));

  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const databaseUrl = urlOf('lw_worker');
  await stack.worker(config, { databaseUrl, log, nodeName: 'named' });
  const environment = { temporal: { address: stack.servers.temporalAddress, namespace: 'default' }, databaseUrl };
  const longwatch = await connect({ environment });
  const reader = await connect({ environment: { ...environment, databaseUrl: urlOf('lw_reader') } });
  try {
    const { trackers, buffers, jobs } = resolveConfig(config);
    await longwatch.tracker('people').start(trackers[0]!.options);
    await longwatch.tracker('people').add(['a', 'b'], { wait: true });
    await longwatch.buffer('box').start(buffers[0]!.options);
    await longwatch.buffer('box').push([{ id: 'x' }]);
    await longwatch.job('stamina').start(jobs[0]!.options);
    expect(await longwatch.job('stamina').run()).toMatchObject({ rows: 10 });
    await eventually('values are there', async () => (await reader.tracker('people').show('a')).values.length === 1);
    await eventually('the entry is done', async () => (await reader.buffer('box').status()).done === 1);
    await longwatch.tracker('people').remove(['b'], { wait: true });
    expect((await reader.status()).trackers).toMatchObject([{ name: 'people', members: 1 }]);
  } finally {
    await Promise.all([longwatch.close(), reader.close()]);
  }
  expect(lines.filter((line) => line.includes('permission denied'))).toEqual([]);
  const placed = await as('lw_reader', (client) =>
    client.query(
      `select p.node, c.members::int from longwatch.member_place p join longwatch.tracker_count c using (tracker) where id = 'a'`,
    ),
  );
  expect(placed.rows).toEqual([{ node: 'named', members: 1 }]);
  const listed = await as('lw_reader', (client) => client.query('select what, outcome from longwatch.audit'));
  expect(listed.rows).toEqual(expect.arrayContaining([{ what: 'run', outcome: 'done' }]));

  const denied = /permission denied|must be owner/;
  for (const statement of [
    'create table longwatch.mine (x int)',
    'drop table longwatch.value',
    'select * from secret',
    `select pg_read_file('/etc/passwd')`,
    'create table mine (x int)',
    'delete from longwatch.audit',
    `update longwatch.audit set actor = 'somebody else'`,
  ]) {
    await expect(as('lw_worker', (client) => client.query(statement))).rejects.toThrow(denied);
  }
  await expect(as('lw_reader', (client) => client.query('delete from longwatch.member'))).rejects.toThrow(denied);
  await expect(as('lw_reader', (client) => client.query('update longwatch.tracker set state = state'))).rejects.toThrow(
    denied,
  );
});
