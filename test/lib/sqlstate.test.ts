/**
 * One table of SQLSTATEs: each class by what a real server raises where it can be made to, and by its code where it
 * cannot.
 */
import { pino } from 'pino';
import { asOutage, Database, isOutage } from '../../activities/lib/database';
import { classOf, isPassing, type ErrorClass } from '../../activities/lib/sqlstate';
import { Stack } from '../support/stack';

const withCode = (code: string, more: object = {}): Error => Object.assign(new Error(`of ${code}`), { code, ...more });

const TABLE: Record<ErrorClass, string[]> = {
  outage: [
    '08000',
    '08003',
    '08006',
    '25006',
    '25P03',
    '28P01',
    '3D000',
    '40003',
    '53100',
    '53300',
    '57P01',
    '57P02',
    '57P03',
    '58030',
  ],
  conflict: ['40001', '40P01', '55P03', '55006'],
  cancelled: ['57014', '25P04'],
  row: [
    '21000',
    '22003',
    '22P05',
    '23505',
    '27000',
    '44000',
    '54000',
    '54001',
    '09000',
    '20000',
    'P0001',
    'X0001',
    'ZZZZZ',
    'AB123',
  ],
  statement: ['0A000', '42P01', '42703', '42501', '3F000', '55000'],
  bug: ['08P01', '25P02', '25001', 'XX000', '26000', '58P01'],
};

describe('each code has one class', () => {
  for (const [kind, codes] of Object.entries(TABLE)) {
    test(`${kind}: ${codes.join(', ')}`, () => {
      for (const code of codes) expect([code, classOf(withCode(code))]).toEqual([code, kind]);
    });
  }

  test('outages, and nothing else, become StoreUnavailable', () => {
    for (const [kind, codes] of Object.entries(TABLE)) {
      for (const code of codes) expect([code, isOutage(asOutage(withCode(code)))]).toEqual([code, kind === 'outage']);
    }
  });

  test('what passes: outage, conflict, cancelled', () => {
    for (const [kind, codes] of Object.entries(TABLE)) {
      const passing = ['outage', 'conflict', 'cancelled'].includes(kind);
      for (const code of codes) expect([code, isPassing(withCode(code))]).toEqual([code, passing]);
    }
    expect(isPassing(asOutage(withCode('57P01')))).toBe(true);
  });
});

describe('without a SQLSTATE', () => {
  test('a connection that is gone or did not come about is an outage', () => {
    const codes = [
      'ECONNREFUSED',
      'ECONNRESET',
      'EPIPE',
      'ETIMEDOUT',
      'ENOTFOUND',
      'EAI_AGAIN',
      'ENETUNREACH',
      'EMFILE',
    ];
    for (const code of codes) expect([code, classOf(withCode(code))]).toEqual([code, 'outage']);
    expect(classOf(withCode('ENOENT', { syscall: 'connect' }))).toBe('outage');
    for (const message of [
      'Connection terminated unexpectedly',
      'Connection terminated due to connection timeout',
      'Query read timeout',
      'timeout exceeded when trying to connect',
      'Client has encountered a connection error and is not queryable',
    ]) {
      expect([message, classOf(new Error(message))]).toEqual([message, 'outage']);
    }
    expect(classOf(new AggregateError([withCode('ECONNREFUSED')]))).toBe('outage');
  });

  test("a user's error that speaks of time or connections is not", () => {
    for (const message of ['the payment ran into a timeout', 'no connection error here', 'timeout']) {
      expect([message, classOf(new Error(message))]).toEqual([message, 'bug']);
    }
    expect(classOf(new AggregateError([new Error('a'), new Error('b')]))).toBe('bug');
    expect(classOf(withCode('ENOENT', { syscall: 'open' }))).toBe('bug');
    for (const thrown of [undefined, null, 'text', 7, Object.create(null)]) expect(classOf(thrown)).toBe('bug');
  });
});

describe('as a real server raises them', () => {
  let stack: Stack;
  let database: Database;
  beforeAll(async () => {
    stack = await Stack.start({ own: true });
    database = new Database({
      url: stack.servers.databaseUrl,
      log: pino({ level: 'silent' }),
      statementTimeoutMs: 300,
    });
    await stack.sql(`create table guarded (id int primary key, tenant int)`);
    await stack.sql(`alter table guarded enable row level security`);
    await stack.sql(`create policy of_tenant on guarded using (true) with check (tenant = 1)`);
    await stack.sql(`create role guest`);
    await stack.sql(`grant usage on schema public to guest`);
    await stack.sql(`grant usage on schema longwatch to guest`);
    await stack.sql(`grant select, insert on guarded to guest`);
  });
  afterAll(async () => {
    await database.close();
    await stack.close();
  });

  const raised = async (begin: string, text: string, values: unknown[] = []): Promise<unknown> =>
    database
      .transaction(async (db) => {
        for (const part of begin.split(';').filter((one) => one.trim() !== ''))
          await db.query({ text: part, values: [] });
        await db.query({ text, values });
      })
      .then(() => undefined)
      .catch((error: unknown) => error);

  test.each<[ErrorClass, string, string, unknown[]]>([
    ['outage', 'set transaction read only', 'create table nothing ()', []],
    ['cancelled', '', 'select pg_sleep(2)', []],
    ['row', '', 'select $1::text', ['a\0b']],
    ['row', '', `select '"\\u0000"'::json #>> '{}'`, []],
    ['row', '', 'select (select * from generate_series(1, 2))', []],
    ['row', '', `do $$ begin raise 'mine' using errcode = 'X0001'; end $$`, []],
    ['row', '', `do $$ begin raise insufficient_privilege; end $$`, []],
    ['outage', '', `do $$ begin raise 'away' using errcode = '57P01'; end $$`, []],
    ['conflict', '', `do $$ begin raise serialization_failure; end $$`, []],
    ['row', 'set local role guest', 'insert into guarded values (1, 2)', []],
    ['statement', 'set local role guest', 'delete from guarded', []],
    ['statement', '', 'select * from nowhere', []],
  ])('%s: %s; %s', async (kind, begin, text, values) => {
    const error = await raised(begin, text, values);
    expect([classOf(error), error]).toEqual([kind, error]);
  });

  test('a server that is ended by its administrator is an outage', async () => {
    const error = await raised('', 'select pg_terminate_backend(pg_backend_pid())');
    expect(isOutage(error)).toBe(true);
  });
});
