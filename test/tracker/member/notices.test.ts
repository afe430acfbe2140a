/** Announcements of mail and replies: their names, sizes and parsing, and who hears them on a real PostgreSQL. */
import { pino } from 'pino';
import { Database } from '../../../activities/lib/database';
import { Listener } from '../../../activities/lib/listener';
import { MEMBER } from '../../../activities/tracker/member/constants';
import { insertMail, type NewMail } from '../../../activities/tracker/store/mail';
import { MailNotifier } from '../../../activities/tracker/store/mail-notifier';
import {
  clientChannel,
  keepersOf,
  keepersOfPools,
  mailAnnouncements,
  mailNoticeOf,
  nodeChannel,
  replyAnnouncements,
  replyNoticeOf,
  type Ask,
} from '../../../activities/tracker/store/mail-notices';
import { byId, placingOf } from '../../../activities/tracker/route';
import type { Route } from '../../../exports';
import { hashId } from '../../../workflows/lib/hash';
import { poolOf } from '../../../workflows/tracker/plan';
import { slotOf, slotsOf } from '../../../workflows/tracker/slots';
import { writeNode } from '../../support/node-rows';
import { eventually, Stack } from '../../support/stack';

const log = pino({ level: 'silent' });

describe('What is announced', () => {
  test.each(['n', 'x'.repeat(300), 'Узел №1', `a'"; drop`])('the channel of %j is a name of PostgreSQL', (name) => {
    for (const channel of [nodeChannel(name), clientChannel(name)]) expect(channel).toMatch(/^[a-z_0-9]{1,63}$/);
    expect(nodeChannel(name)).not.toBe(nodeChannel(`${name}2`));
  });

  test('a node is told once of each tracker, whatever comes together', () => {
    const at = (node: string, tracker: string, pool: number) => ({ node, tracker, pool });
    const told = mailAnnouncements([
      at('a', 't', 1),
      at('a', 't', 2),
      at('b', 't', 3),
      at('a', 'u', 1),
      at('a', 't', 1),
    ]);
    expect(told.map(({ channel, payload }) => [channel, mailNoticeOf(payload)])).toEqual([
      [nodeChannel('a'), { tracker: 't', pools: [1, 2] }],
      [nodeChannel('b'), { tracker: 't', pools: [3] }],
      [nodeChannel('a'), { tracker: 'u', pools: [1] }],
    ]);
    const [on] = mailAnnouncements([at('a', 't', 1)], true);
    expect(mailNoticeOf(on!.payload)).toEqual({ tracker: 't', pools: [1], handedOn: true });
  });

  test('what is larger than PostgreSQL takes goes in parts, and nothing of it is missing', () => {
    const pools = Array.from({ length: 5_000 }, (_, pool) => ({ node: 'a', tracker: 't'.repeat(200), pool }));
    const answered = Array.from({ length: 5_000 }, (_, i) => ({ client: 'c', request: `ж${i}` }));
    const mail = mailAnnouncements(pools);
    const replies = replyAnnouncements(answered);
    for (const { payload } of [...mail, ...replies]) expect(Buffer.byteLength(payload)).toBeLessThan(8_000);
    expect(mail.flatMap(({ payload }) => mailNoticeOf(payload)!.pools)).toEqual(pools.map(({ pool }) => pool));
    const requests = replies.flatMap(({ payload }) => replyNoticeOf(payload)!.requests);
    expect(requests).toEqual(answered.map(({ request }) => request));
    expect(replyAnnouncements([{ client: 'c', request: 'x'.repeat(9_000) }])).toEqual([]);
  });

  test.each([
    undefined,
    '',
    '1',
    'null',
    '[]',
    '{"tracker":1,"pools":[1]}',
    '{"tracker":"t","pools":["1"]}',
    '{"pools":',
  ])('%j is nobody’s: who hears it looks at everything', (payload) => {
    expect(mailNoticeOf(payload)).toBeUndefined();
    expect(replyNoticeOf(payload)).toBeUndefined();
  });
});

describe('On PostgreSQL', () => {
  let stack: Stack;
  let database: Database;
  let ask: Ask;
  const heard: string[] = [];
  beforeAll(async () => {
    stack = await Stack.start();
    database = new Database({ url: stack.servers.databaseUrl, log });
    ask = (statement, values) => database.rows(statement, values);
    await stack.sql(`insert into longwatch.tracker (name, options, pools) values ('t', '{}', 7), ('closed', '{}', 1)`);
    await stack.sql(`update longwatch.tracker set state = 'stopped' where name = 'closed'`);
    await stack.sql(
      `insert into longwatch.pool (tracker, pool, node, taken_at, released_at)
       values ('t', 0, 'a', now(), null), ('t', 1, 'b', now(), null), ('t', 2, 'a', now(), now()), ('t', 3, null, null, null),
              ('t', 5, 'c', now(), null), ('t', 6, 'a', now() - interval '1 hour', null)`,
    );
    const knows = { placement: { reads: { t: 1 } } };
    await writeNode(stack.sql.bind(stack), { name: 'a', ...knows });
    await writeNode(stack.sql.bind(stack), { name: 'b', silentMs: 6_000, ...knows });
    await writeNode(stack.sql.bind(stack), { name: 'c', placement: { reads: { u: 1 } } });
  });
  afterAll(async () => {
    await database?.close();
    await stack?.close();
  });

  const idOf = (pool: number): string => {
    for (let i = 0; ; i++) if (poolOf(hashId(`id${i}`), 7) === pool) return `id${i}`;
  };
  const byPool = <T extends { pool: number }>(list: T[]) => list.sort((x, y) => x.pool - y.pool);
  const letter = (member: string): NewMail => ({ member, from: 's', json: '1', bytes: 1, toldAt: Date.now() });
  const insert = (tracker: string, ...members: string[]) =>
    database.transaction((db) => insertMail(db, tracker, members.map(letter), MEMBER));

  test('who inserts learns which nodes are to be told: those that keep the pools now', async () => {
    const all = [0, 1, 2, 3, 4, 5, 6];
    const { state, admissions, keepers, unkept } = await insert('t', ...all.map(idOf));
    expect(state).toBe('running');
    expect(admissions).toEqual(Array(7).fill('taken'));
    const kept = [
      { node: 'a', tracker: 't', pool: 0 },
      { node: 'b', tracker: 't', pool: 1 },
      { node: 'c', tracker: 't', pool: 5 },
      { node: 'a', tracker: 't', pool: 6 },
    ];
    expect(byPool(keepers)).toEqual(kept);
    // Four of them have nodes: one is not heard of any more, one has no code for them, one has begun anew since.
    const without = [1, 2, 3, 4, 5, 6].map((pool) => ({ tracker: 't', pool, slots: slotsOf(pool, 7) }));
    expect(byPool(unkept)).toEqual(without);
    const members = all.map((pool) => ({ tracker: 't', id: idOf(pool) }));
    const found = await keepersOf(ask, members, () => byId);
    expect(byPool(found.keepers)).toEqual(kept);
    expect(byPool(found.unkept)).toEqual(without);
    expect(byPool(await keepersOfPools(ask, { tracker: 't', pools: all }))).toEqual(kept);
  });

  describe('of a tracker with a route', () => {
    const byCorporation = { name: 'by-corporation', of: (id: string) => id.split('/')[0] };
    const mail = (definition: { route?: Route } | undefined, ...members: string[]) =>
      database.transaction((db) => insertMail(db, 't', members.map(letter), MEMBER, definition));
    const slots = () =>
      stack.sql<{ member: string; slot: number }>(
        `select member, slot::float8 as slot from longwatch.mail order by id`,
      );
    const set = (route: string | null) =>
      stack.sql(`update longwatch.tracker set options = options - 'route' || $1 where name = 't'`, [
        route === null ? '{}' : JSON.stringify({ route }),
      ]);
    beforeEach(() => stack.sql(`truncate longwatch.mail`));
    afterEach(async () => {
      await set(null);
      await stack.sql(`truncate longwatch.mail`);
    });

    test('mail has the place of its member', async () => {
      await set('by-corporation');
      const { admissions } = await mail({ route: byCorporation }, 'corp/1', 'corp/2');
      expect(admissions).toEqual(['taken', 'taken']);
      const slot = slotOf(hashId('corp'));
      expect(await slots()).toEqual([
        { member: 'corp/1', slot },
        { member: 'corp/2', slot },
      ]);
    });

    test('a sender that does not know it is refused, and nothing of its batch is taken', async () => {
      await set('by-corporation');
      for (const definition of [undefined, {}, { route: { ...byCorporation, name: 'by-alliance' } }]) {
        const sending = mail(definition, 'corp/1');
        await expect(sending).rejects.toThrow(/placed by route 'by-corporation', and this process has/);
      }
      expect(await slots()).toEqual([]);
    });

    test('a route that is not declared yet does not count', async () => {
      await mail({ route: byCorporation }, 'corp/1');
      expect(await slots()).toEqual([{ member: 'corp/1', slot: slotOf(hashId('corp/1')) }]);
    });

    test('nodes are told of the pools that its members are in', async () => {
      const id = idOf(1);
      const placing = placingOf('t', 'by-corporation', { route: byCorporation });
      const found = await keepersOf(ask, [{ tracker: 't', id: `${id}/1` }], () => placing);
      expect(found.keepers).toEqual([{ node: 'b', tracker: 't', pool: 1 }]);
    });
  });

  test('a tracker that is not there, or is stopped, takes nothing', async () => {
    const nobody = { keepers: [], full: new Map(), unkept: [] };
    expect(await insert('nowhere', 'x')).toEqual({ state: undefined, admissions: [], ...nobody });
    expect(await insert('closed', 'x')).toEqual({ state: 'stopped', admissions: ['wait'], ...nobody });
    expect(await stack.sql(`select 1 from longwatch.mail where tracker in ('nowhere', 'closed')`)).toEqual([]);
  });

  test('who is told hears it, and what is said meanwhile comes together', async () => {
    const listener = new Listener(database, {
      channel: nodeChannel('a'),
      heard: (payload) => payload !== undefined && heard.push(payload),
      log,
    });
    await listener.start();
    let statements = 0;
    const notifier = new MailNotifier((statement, values) => {
      statements++;
      return database.rows(statement, values);
    }, log);
    notifier.toldMail([{ node: 'a', tracker: 't', pool: 0 }]);
    notifier.toldMail([{ node: 'a', tracker: 't', pool: 1 }]);
    await eventually('the first is heard', () => heard.length > 0);
    notifier.handOn([{ node: 'a', tracker: 't', pool: 2 }]);
    notifier.toldReplies([{ client: 'c', request: 'r' }]);
    await notifier.idle();
    await eventually('the second is heard', () => heard.length > 1);
    expect(heard.map((payload) => mailNoticeOf(payload))).toEqual([
      { tracker: 't', pools: [0, 1] },
      { tracker: 't', pools: [2], handedOn: true },
    ]);
    expect(statements).toBe(2);
    await listener.stop();
  });

  test('an announcement that fails is dropped, and the next one leaves', async () => {
    let calls = 0;
    const notifier = new MailNotifier(
      () => (calls++ === 0 ? Promise.reject(new Error('away')) : Promise.resolve([])),
      log,
    );
    notifier.toldReplies([{ client: 'c', request: 'r' }]);
    await notifier.idle();
    notifier.toldReplies([{ client: 'c', request: 'r' }]);
    await notifier.idle();
    expect(calls).toBe(2);
  });
});
