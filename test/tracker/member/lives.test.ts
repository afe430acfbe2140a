/** Commits of turns on a real PostgreSQL, where several want the same at once, and where a user's statement fails. */
import { pino } from 'pino';
import { Database, type Queryable } from '../../../activities/lib/database';
import type { Commit, MemberPart } from '../../../activities/tracker/member/commit';
import { MEMBER } from '../../../activities/tracker/member/constants';
import type { Pushed } from '../../../activities/tracker/member/types';
import { byId, notDefinedHere, type Placing } from '../../../activities/tracker/route';
import { endLives, purgeLives } from '../../../activities/tracker/store/ended-lives';
import { commitTurns, loadLives } from '../../../activities/tracker/store/lives';
import { insertMail, readMail, type NewMail } from '../../../activities/tracker/store/mail';
import { mailTables, stepTables } from '../../../activities/tracker/store/mail-tables';
import { slotOf } from '../../../workflows/tracker/slots';
import { Stack } from '../../support/stack';

const OWNERS = [{ claim: { tracker: 't', pool: 0, runId: 'run', shift: 1, attempt: 1, node: 'n' }, token: 1 }];
const ALL = { first: 0, last: 2 ** 32 - 1 };
const READING = { number: 1, known: [], full: [], blocked: [], rows: 100, bytes: 1_000_000 };
const pushed: Pushed[] = [];

let stack: Stack;
let database: Database;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
});
afterAll(async () => {
  await database?.close();
  await stack?.close();
});
beforeEach(async () => {
  pushed.length = 0;
  await stack.sql('delete from longwatch.tracker');
  await stack.sql('truncate longwatch.mail');
  await stack.sql('update longwatch.mail_turn set current = 0, clean = default');
  await stack.sql(`insert into longwatch.tracker (name, options, pools) values ('t', '{}', 1)`);
  await stack.sql(
    `insert into longwatch.pool (tracker, pool, token, run_id, shift, attempt, roster_version) values ('t', 0, 1, 'run', 1, 1, 1)`,
  );
});

const part = (id: string, given: Partial<MemberPart> = {}): MemberPart => ({
  id,
  expected: 0,
  row: { state: '1', marks: new Map(), applied: new Map(), sets: 0, stateVersion: 1 },
  timersSet: [],
  timersGone: [],
  mailGone: [],
  again: [],
  dead: [],
  answers: [],
  tellAgain: [],
  sent: [],
  pushes: [],
  writes: [],
  ...given,
});
const of = (...members: MemberPart[]): Commit => ({
  pools: [{ tracker: 't', pool: 0, token: 1, rosterVersion: 1, members }],
});
const push = async (_db: unknown, entries: readonly Pushed[]): Promise<void> => void pushed.push(...entries);
/** The places of ids in a commit. */
let placing = (_tracker: string): Placing => byId;
afterEach(() => void (placing = () => byId));
const commit = async (db: Queryable, ...members: MemberPart[]): Promise<string[]> => {
  const [verdict] = await commitTurns(db, of(...members), { owners: OWNERS, push, placingOf: (name) => placing(name) });
  return [
    verdict!.verdict,
    ...verdict!.refused.map(({ id, why, error }) => `${id} ${why}${error ? `: ${error}` : ''}`),
  ];
};
const alone = (...members: MemberPart[]): Promise<string[]> => database.transaction((db) => commit(db, ...members));
const letter = (given: Partial<NewMail> = {}): NewMail => ({
  member: 'a',
  from: 's',
  json: '1',
  bytes: 1,
  toldAt: Date.now(),
  ...given,
});
const send = (...batch: NewMail[]) =>
  database.transaction((db) => insertMail(db, 't', batch)).then(({ admissions }) => admissions);
const slots = { slots: ALL, slotOf: (id: string) => slotOf(placing('t')(id)) };
const read = async () => (await readMail(database.single, [{ tracker: 't', ...slots, reading: READING }]))[0]!.mail;
const stateOf = async (id: string) => (await database.transaction((db) => loadLives(db, [{ tracker: 't', id }])))[0]!;

test.each([
  ['of a member that is new', 0],
  ['of a member that is there', 1],
])('of two commits at once %s one is carried out', async (_name, expected) => {
  if (expected > 0) await alone(part('a'));
  let second: Promise<string[]> | undefined;
  await database.transaction(async (db) => {
    expect(
      await commit(
        db,
        part('a', {
          expected,
          row: { state: '"first"', marks: new Map(), applied: new Map(), sets: 0, stateVersion: 1 },
        }),
      ),
    ).toEqual(['done']);
    second = alone(part('a', { expected }), part('b'));
    // It waits for the first, which is not committed yet.
    const waits = async (): Promise<boolean> => {
      const [row] = await stack.sql<{ waits: boolean }>(
        `select exists (select 1 from pg_stat_activity where wait_event_type = 'Lock') as waits`,
      );
      return row!.waits;
    };
    while (!(await waits()));
  });
  expect(await second).toEqual(['done', 'a stale']);
  expect(await stateOf('a')).toMatchObject({ version: expected + 1, image: { state: '"first"' } });
  expect(await stateOf('b')).toMatchObject({ version: 1 });
});

test('a commit that makes a member leaves the pool for later where another one is under way: neither waits for the other', async () => {
  const [{ stamp } = { stamp: 0 }] = await stack.sql<{ stamp: number }>(
    `select nextval('longwatch.stamp')::float8 as stamp`,
  );
  await database.transaction(async (db) => {
    expect(await commit(db, part('a', { spawn: stamp }))).toEqual(['done']);
    expect(await alone(part('a', { spawn: stamp }))).toEqual(['later']);
    expect(await alone(part('b'))).toEqual(['later']);
  });
  await database.transaction(async (db) => {
    expect(await commit(db, part('b'))).toEqual(['done']);
    expect(await alone(part('c', { spawn: stamp }))).toEqual(['later']);
    expect(await alone(part('c'))).toEqual(['done']);
  });
  expect(await stack.sql('select members from longwatch.pool')).toEqual([{ members: 1 }]);
});

test('a commit that was given up and is rolled back leaves the way to the next', async () => {
  const away = new Error('away');
  await database
    .transaction(async (db) => {
      await commit(db, part('a'));
      throw away;
    })
    .catch((thrown: unknown) => expect(thrown).toBe(away));
  expect(await alone(part('a'))).toEqual(['done']);
});

test('a row of mail is handled once, whoever of two has it', async () => {
  await send(letter());
  const [one] = await read();
  expect(await alone(part('a', { mailGone: [one!.id] }))).toEqual(['done']);
  expect(await alone(part('a', { expected: 1, mailGone: [one!.id] }))).toEqual(['done', 'a stale']);
});

test('a statement of a user that fails undoes its own member, and nothing else', async () => {
  await stack.sql('drop table if exists note');
  await stack.sql('create table note (text text)');
  await send(letter(), letter({ member: 'b' }), letter({ member: 'c' }));
  const [one, two, three] = await read();
  const write = (sql: string) => [{ sql, values: ['hello'] }];
  const verdicts = await alone(
    part('a', {
      mailGone: [one!.id],
      writes: write('insert into note values ($1)'),
      pushes: [{ buffer: 'x', json: '"a"' }],
    }),
    part('b', {
      mailGone: [two!.id],
      writes: write('insert into nowhere values ($1)'),
      pushes: [{ buffer: 'x', json: '"b"' }],
    }),
    part('c', { mailGone: [three!.id] }),
  );
  expect(verdicts).toEqual(['done', expect.stringMatching('b refused: error: relation "nowhere" does not exist')]);
  expect((await read()).map(({ member }) => member)).toEqual(['b']);
  expect(await stack.sql('select * from note')).toEqual([{ text: 'hello' }]);
  expect(pushed).toEqual([{ buffer: 'x', json: '"a"' }]);
});

test('a statement of a user that waits for a lock, or takes long, is ended; the limits are its own', async () => {
  const verdicts = await database.transaction(async (db) => {
    const slow = await commit(
      db,
      part('a', { writes: [{ sql: 'select pg_sleep(20)', values: [] }] }),
      part('b', { writes: [{ sql: 'select 1', values: [] }] }),
    );
    const { rows } = await db.query<{ limit: string }>({
      text: `select current_setting('statement_timeout') as limit`,
      values: [],
    });
    return [...slow, rows[0]!.limit];
  });
  expect(verdicts).toEqual([
    'done',
    expect.stringMatching('a refused: error: canceling statement'),
    expect.not.stringMatching(/^1s$/),
  ]);
  expect(await stateOf('b')).toMatchObject({ version: 1 });
});

test('a member that sends to a tracker that does not exist is refused, and says so', async () => {
  const sent = [{ to: { tracker: 'nowhere', id: 'x' }, json: '1' }];
  expect(await alone(part('a', { sent }), part('b'))).toEqual(['done', 'a refused: there is no tracker nowhere']);
});

test('what is spawned is counted as a member of its pool', async () => {
  const [{ stamp } = { stamp: 0 }] = await stack.sql<{ stamp: number }>(
    `select nextval('longwatch.stamp')::float8 as stamp`,
  );
  await alone(part('a', { spawn: stamp }), part('b', { spawn: stamp }));
  expect(await stack.sql('select members from longwatch.pool')).toEqual([{ members: 2 }]);
  expect(await stateOf('a')).toMatchObject({ image: { present: true } });
});

test('a table that somebody writes to is not truncated, and one that has mail by then neither', async () => {
  await send(letter());
  const [one] = await read();
  await alone(part('a', { mailGone: [one!.id] }));
  await database.transaction((db) => stepTables(db, { do: 'turn', to: 1 }));
  const truncate = () =>
    database.transaction((db) => stepTables(db, { do: 'truncate', table: 0 }), { lockTimeoutMs: 100 });
  await database.transaction(async (db) => {
    // A sender that was told of the table before.
    await db.query({
      text: `insert into longwatch.mail (place, id, tracker, member, slot, sender, json, bytes, told_at) values (0, 99, 't', 'a', $1, 's', '1', 1, now())`,
      values: [slotOf(byId('a'))],
    });
    await expect(truncate()).rejects.toMatchObject({ code: '55P03' });
  });
  expect(await truncate()).toBe(false);
  expect((await read()).map(({ id }) => id)).toEqual([99]);
  await database.transaction((db) => stepTables(db, { do: 'carry', table: 0 }));
  expect(await truncate()).toBe(true);
  expect((await read()).map(({ id }) => id)).toEqual([99]);
  const { current, tables } = await database.transaction((db) => mailTables(db));
  expect([current, ...tables]).toEqual([
    1,
    { rows: 0, isClean: true },
    { rows: 1, isClean: false },
    { rows: 0, isClean: true },
  ]);
});

test('a snapshot that is held open does not keep a table from being truncated', async () => {
  await send(letter());
  const [one] = await read();
  await alone(part('a', { mailGone: [one!.id] }));
  await database.transaction((db) => stepTables(db, { do: 'turn', to: 1 }));
  await database.transaction(async (held) => {
    await held.query({ text: 'set transaction isolation level repeatable read', values: [] });
    await held.query({ text: 'select count(*) from longwatch.tracker', values: [] });
    const truncated = await database.transaction((db) => stepTables(db, { do: 'truncate', table: 0 }), {
      lockTimeoutMs: 100,
    });
    expect(truncated).toBe(true);
  });
});

test('a request that goes with its member is answered, once', async () => {
  const request = (id: string) => ({ id, client: 'c', deadline: 0 });
  await send(letter({ request: request('q') }), letter({ request: request('r') }));
  await alone(part('a', { answers: [{ request: 'q', client: 'c', answer: { json: '1' } }] }));
  const [{ stamp } = { stamp: 0 }] = await stack.sql<{ stamp: number }>(
    `select nextval('longwatch.stamp')::float8 as stamp`,
  );
  const told = await database.transaction((db) => endLives(db, 't', [{ id: 'a', stamp, hash: byId('a') }]));
  expect(told).toEqual([{ member: 'a', request: 'r', client: 'c' }]);
  expect(await stack.sql('select request, json, error from longwatch.reply order by request')).toEqual([
    { request: 'q', json: '1', error: null },
    { request: 'r', json: null, error: 'Removed' },
  ]);
});

test('replies are kept as long as they may be asked for, and the numbers of a member that was removed for a day', async () => {
  const answers = (request: string) => [{ request, client: 'c', answer: { json: '1' } }];
  const stamps = await stack.sql<{ stamp: number }>(
    `select nextval('longwatch.stamp')::float8 as stamp from generate_series(1, 3)`,
  );
  const empty = { row: { state: null, marks: new Map(), applied: new Map(), sets: 0, stateVersion: 1 } };
  await alone(part('kept', { spawn: stamps[0]!.stamp, answers: answers('old'), ...empty }), part('gone', empty));
  await alone(part('new', { answers: answers('new'), ...empty }), part('awaited', empty), part('full'));
  const removed = ['gone', 'awaited', 'again'].map((id) => ({ id, stamp: stamps[1]!.stamp, hash: byId(id) }));
  await database.transaction((db) => endLives(db, 't', removed));
  await alone(part('again', { expected: 1, spawn: stamps[2]!.stamp, ...empty }));
  const age = async (ms: number) => {
    await stack.sql(`update longwatch.life_ended set ended_at = now() - $1 * interval '1 ms'`, [ms]);
    await stack.sql(`update longwatch.reply set answered_at = now() - $1 * interval '1 ms' where request = 'old'`, [
      ms,
    ]);
    await stack.sql(`update longwatch.life set written_at = now() - $1 * interval '1 ms' where id <> 'new'`, [ms]);
    await database.transaction((db) => purgeLives(db));
  };
  const left = async (table: string, column: string) =>
    (await stack.sql<{ name: string }>(`select ${column} as name from longwatch.${table} order by 1`)).map(
      ({ name }) => name,
    );
  await send(letter({ member: 'awaited' }));

  await age(MEMBER.repliesMs - 60_000);
  expect(await left('reply', 'request')).toEqual(['new', 'old']);
  await send(letter({ member: 'kept', request: { id: 'old', client: 'c', deadline: 0 } }));
  await age(MEMBER.repliesMs + 1);
  expect(await left('reply', 'request')).toEqual(['new', 'old']);
  await stack.sql(`delete from longwatch.mail where member = 'kept'`);
  await age(MEMBER.repliesMs + 1);
  expect(await left('reply', 'request')).toEqual(['new']);
  await age(MEMBER.marksMs - 60_000);
  expect(await left('life', 'id')).toEqual(['again', 'awaited', 'full', 'gone', 'kept', 'new']);
  await age(MEMBER.marksMs + 1);
  expect(await left('life', 'id')).toEqual(['again', 'awaited', 'full', 'kept', 'new']);
  // Nobody has made `new` a member, and it was written a moment ago.
  expect(await left('life_ended', 'id')).toEqual(['awaited', 'new']);
});

describe('a tracker with a route', () => {
  const row = { state: '1', marks: new Map(), applied: new Map(), sets: 0, stateVersion: 1 };
  const sent = (tracker: string, id: string) => [{ to: { tracker, id }, json: '1' }];

  test('has all of a turn where its member is, and what it sends where that one is', async () => {
    placing = () => (id) => byId(id.split('/')[0]!);
    const [{ stamp } = { stamp: 0 }] = await stack.sql<{ stamp: number }>(
      `select nextval('longwatch.stamp')::float8 as stamp`,
    );
    expect(await alone(part('a/1', { row, spawn: stamp, sent: sent('t', 'b/1') }))).toEqual(['done']);
    const [found] = await stack.sql(
      `select m.hash::float8 as hash, m.slot = l.slot as same, (select slot::float8 from longwatch.mail) as mail
       from longwatch.member m join longwatch.life l on l.id = m.id where m.id = 'a/1'`,
    );
    expect(found).toEqual({ hash: byId('a'), same: true, mail: slotOf(byId('b')) });
  });

  test('is not known to this process: the turn that sends to it is refused, and no other', async () => {
    placing = (name) => {
      if (name === 'other') throw notDefinedHere(name, 'by-corporation', undefined);
      return byId;
    };
    const verdict = await alone(part('a', { row, sent: sent('other', 'x') }), part('b', { row }));
    expect(verdict).toEqual(['done', expect.stringMatching(/^a refused: .*placed by route 'by-corporation'/)]);
    expect(await stack.sql(`select id from longwatch.life`)).toEqual([{ id: 'b' }]);
  });
});

test('no index of the states has a column that a turn changes: a new version of a row stays on its page', async () => {
  const columns = await stack.sql<{ name: string }>(
    `select distinct a.attname as name from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
     where i.indrelid = 'longwatch.life'::regclass order by 1`,
  );
  expect(columns.map(({ name }) => name)).toEqual(['id', 'slot', 'tracker']);
  expect(
    await stack.sql(`select 1 from pg_index where indrelid = 'longwatch.life'::regclass and indpred is not null`),
  ).toEqual([]);
});
