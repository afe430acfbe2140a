/**
 * Separate addresses to write and to look at, with a streaming replica: what is shown comes from it, what is changed,
 * and what a change rests on, never does. The replica is made to stand still, so that each answer tells where it was
 * read.
 */
import { pino } from 'pino';
import { connect, defineRegen, ReplicaUnavailableError, RefusedError } from '../../exports';
import { main } from '../../cli/main';
import { Connections } from '../../client/connections';
import type { Longwatch } from '../../client/longwatch';
import type { Environment } from '../../config/environment';
import { eventually, Stack } from '../support/stack';
import { Replica } from './replica';
import { resolveConfig } from '../../config/resolve/config';

const TRACKER = { name: 'things', operations: { look: { every: '1h', run: () => ({ value: 1 }) } } };

/** Its values are old after three seconds, and the answer of its gate after six. */
const QUICK = {
  name: 'quick',
  gate: { every: '1s', timeout: '2s', check: () => true },
  operations: { look: { every: '1s', stagger: { window: 0 }, run: () => ({ value: 1 }) } },
};
const REGEN = defineRegen({ name: 'stamina', every: '1d', table: 'player', set: { stamina: 'stamina + 1' } });
const CONFIG = { trackers: [TRACKER, QUICK], regens: [REGEN] };

let stack: Stack;
let replica: Replica;
let environment: Environment;
let longwatch: Longwatch;

beforeAll(async () => {
  stack = await Stack.start({ own: true });
  // It ends at once what is in the way of what it replays.
  replica = await Replica.start(stack, { max_standby_streaming_delay: '0' });
  const { temporalAddress, namespace, databaseUrl } = stack.servers;
  environment = {
    temporal: { address: temporalAddress, namespace },
    databaseUrl,
    readDatabaseUrl: replica.url,
  };
  longwatch = await connect({ environment });
  await stack.sql('create table player (id bigint primary key, stamina integer not null default 0)');
  await stack.sql('insert into player (id) select n from generate_series(1, 1000) n');
  await stack.worker(CONFIG);
});
afterAll(async () => {
  await longwatch?.close();
  await replica?.stop();
  await stack?.close();
});

const tracker = () => longwatch.tracker('things');
const listed = async (): Promise<string[]> => {
  const ids: string[] = [];
  for await (const { id } of tracker().list()) ids.push(id);
  return ids;
};

test('every change is made where it is written, though the replica is behind', async () => {
  await replica.pause();
  await tracker().start(resolveConfig({ trackers: [TRACKER] }).trackers[0]!.options);
  await tracker().add(['a', 'b', 'c'], { wait: true });
  await tracker().remove(['c'], { wait: true });
  await tracker().set({ 'operations.look.every': '2h' });
  await tracker().pause();
  await tracker().resume();
  await longwatch.job('stamina').start(resolveConfig(CONFIG).jobs[0]!.options);
  expect(await longwatch.job('stamina').run()).toMatchObject({ rows: 1_000 });
  await longwatch.job('stamina').set({ missed: 'skip' });
  await replica.resume();
  expect(await longwatch.job('stamina').history()).toHaveLength(1);
  expect(await listed()).toEqual(['a', 'b']);
  expect((await tracker().options()).operations['look']!.everyMs).toBe(7_200_000);
});

describe('while the replica stands still', () => {
  beforeAll(async () => {
    const quick = longwatch.tracker('quick');
    await quick.start(resolveConfig(CONFIG).trackers.find(({ name }) => name === 'quick')!.options);
    await quick.add(['q'], { wait: true });
    await eventually('it has a value', async () => (await quick.show('q')).values[0]?.fetchedAt);
    await replica.pause();
    await tracker().add(['d'], { wait: true });
    await tracker().set({ 'operations.look.every': '3h' });
    await longwatch.job('stamina').run();
  });
  afterAll(() => replica.resume());

  test('lists, options, pools and status are those of the replica, which says how far it is behind', async () => {
    expect(await listed()).toEqual(['a', 'b']);
    expect((await tracker().options()).operations['look']!.everyMs).toBe(7_200_000);
    expect((await tracker().pools()).map(({ members }) => members)).toEqual([2]);
    expect((await longwatch.replica())!.behindMs).toBeGreaterThan(0);
    const status = await longwatch.status();
    expect(status.trackers.map(({ name, members }) => [name, members])).toEqual([
      ['quick', 1],
      ['things', 2],
    ]);
    expect(status.replica!.behindMs).toBeGreaterThan(0);
  });

  test('nodes that lived then are not gone, however long it stands still', async () => {
    const status = await eventually('it is far behind', async () => {
      const now = await longwatch.status();
      return now.replica!.behindMs! > 6_000 && now;
    });
    expect(status.nodes.map(({ live }) => live)).toEqual([true]);
    expect(status.trackers[0]!.poolsOnShift).toBe(1);
    expect((await tracker().pools())[0]!.onShift).toBe(true);
  });

  test('values are as old as they were then: none is stale for the time since', async () => {
    const then = await longwatch.tracker('quick').status();
    expect(then.operations).toMatchObject([{ stale: 0, staleExact: true }]);
    expect(then.gate).toBe('open');
    // By the clock of now they would all be.
    expect((await longwatch.replica())!.behindMs).toBeGreaterThan(6_000);
  });

  test('`pools` says that it is read there, and how far behind that is', async () => {
    const before = { ...process.env };
    Object.assign(process.env, { DATABASE_URL: environment.databaseUrl, READ_DATABASE_URL: replica.url });
    const said = jest.spyOn(process.stderr, 'write').mockReturnValue(true);
    const written = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
    try {
      expect(await main(['pools', 'things'])).toBe(0);
      expect(said.mock.calls.map(([text]) => String(text)).join('')).toMatch(
        /read from a replica that is \d.* behind: all of it is as it was then\n/,
      );
      expect(await main(['pools', 'things', '--json'])).toBe(0);
      const { replica: shown } = JSON.parse(String(written.mock.calls.at(-1)![0])) as { replica: { behindMs: number } };
      expect(shown.behindMs).toBeGreaterThan(0);
    } finally {
      said.mockRestore();
      written.mockRestore();
      process.env = before;
    }
  });

  test('a job as well: its history and status; and its plan is made there', async () => {
    expect(await longwatch.job('stamina').history()).toHaveLength(1);
    const shown = (await longwatch.job('stamina').status()).last!.due;
    expect(shown).toBe((await longwatch.status()).jobs[0]!.last!.due);
    const [newest] = await stack.sql<{ n: number }>('select count(*)::int as n from longwatch.tick where due > $1', [
      shown,
    ]);
    expect(newest!.n).toBe(1);
    expect((await longwatch.job('stamina').explain()).plan.join('\n')).toMatch(/Update on public.player/);
  });

  test('one that the replica does not have yet is shown from where it was written', async () => {
    expect(await tracker().show('d')).toMatchObject({ id: 'd' });
  });

  test('a reconciliation compares with what is written', async () => {
    expect(await tracker().reconcile(['a', 'b'])).toMatchObject({ surplus: ['d'], missing: [], matching: 2 });
    // Whether a key may be deleted is not decided by the replica either.
    await expect(longwatch.durable.deleteKey('nothing', 'key')).rejects.toThrow(RefusedError);
  });
});

test('a replica that has all is not behind', async () => {
  await replica.caughtUp();
  expect(await listed()).toEqual(['a', 'b', 'd']);
  await eventually('nothing is left to replay', async () => (await longwatch.status()).replica?.behindMs === 0);
});

test('a replica that receives nothing any more is behind, and nodes are shown as they were', async () => {
  const [own] = await replica.sql<{ primary_conninfo: string }>('show primary_conninfo');
  const follow = async (whom: string) => {
    await replica.sql(`alter system set primary_conninfo = '${whom}'`);
    await replica.sql('select pg_reload_conf()');
  };
  await follow('host=127.0.0.1 port=1 connect_timeout=1');
  try {
    const status = await eventually('it says so', async () => {
      const now = await longwatch.status();
      return now.replica!.behindMs! > 6_000 && now;
    });
    expect(status.nodes.map(({ live }) => live)).toEqual([true]);
  } finally {
    await follow(own!.primary_conninfo);
    await replica.caughtUp();
  }
});

test('what the replica ends for the sake of its replay is asked again', async () => {
  await stack.sql('create table busy (n integer)');
  await replica.caughtUp();
  const connections = new Connections(environment, { actor: 'test', via: 'client' });
  try {
    const slow = connections.read<{ n: number }>({
      name: 'slow',
      text: 'select count(busy.n)::int as n from (select pg_sleep(1)) as waited cross join busy',
    });
    await eventually('the replica is at it', async () => {
      const [row] = await replica.sql<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where wait_event = 'PgSleep'`,
      );
      return row?.n === 1;
    });
    await stack.sql('truncate busy');
    expect(await slow).toEqual([{ n: 0 }]);
    const [ended] = await replica.sql<{ n: number }>(
      'select confl_lock::int as n from pg_stat_database_conflicts where datname = current_database()',
    );
    expect(ended!.n).toBeGreaterThan(0);
  } finally {
    await connections.close();
  }
});

test('migrations go to the server itself, whatever stands before it', async () => {
  const before = { ...process.env };
  Object.assign(process.env, {
    DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
    DIRECT_DATABASE_URL: environment.databaseUrl,
  });
  const written = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    expect(await main(['migrate', '--json'])).toBe(0);
    expect(written.mock.calls.map(([text]) => text)).toEqual(['{"applied":[]}\n']);
  } finally {
    written.mockRestore();
    process.env = before;
  }
});

test('a replica that is gone is named, and changes go on', async () => {
  await replica.stop();
  const other = await connect({ environment, log: pino({ level: 'silent' }) });
  try {
    await expect(other.status()).rejects.toThrow(ReplicaUnavailableError);
    await expect(other.status()).rejects.toThrow(/READ_DATABASE_URL/);
    await expect(other.status()).rejects.not.toThrow(new RegExp(new URL(replica.url).password));
    await other.tracker('things').add(['e'], { wait: true });
    await other.tracker('things').stop();
  } finally {
    await other.close();
  }
});
