/**
 * The tables of mail and replies stay small: emptied ones are truncated, the next one takes new mail, old replies are
 * forgotten.
 */
import { pino } from 'pino';
import { Housekeeping } from '../../../activities/tracker/turns/housekeeping';
import { MEMBER } from '../../../activities/tracker/member/constants';
import { database, handled, nodeOf, send, stack, trackerOf } from './kit';

const limits = { ...MEMBER, tableMs: 0, repliesMs: 0 };

test('a table that was filled and emptied is truncated, when the next one takes new mail', async () => {
  const { turns } = await nodeOf(trackerOf({ receive: (_message, context) => context.reply(1) }));
  await send([['a', 1, { request: { id: 'r', deadline: Date.now() + 60_000, client: 'c' } }]]);
  turns.lookAtAll();
  await handled();
  const housekeeping = new Housekeeping(database, pino({ level: 'silent' }), limits);
  const tables = async () =>
    (await stack.sql<{ current: number; clean: boolean[] }>('select current, clean from longwatch.mail_turn'))[0]!;
  const { current } = await tables();
  expect((await tables()).clean[current]).toBe(false);
  await housekeeping.look();
  await housekeeping.look();
  const after = await tables();
  expect(after.current).not.toBe(current);
  expect(after.clean[current]).toBe(true);
  expect(await stack.sql('select 1 from longwatch.reply')).toEqual([]);
});

test('a table that somebody has locked is passed over, and nothing waits for it', async () => {
  await nodeOf(trackerOf({ receive: () => undefined }));
  const [{ current }] = (await stack.sql<{ current: number }>('select current from longwatch.mail_turn')) as [
    { current: number },
  ];
  await stack.sql(`update longwatch.mail_turn set clean[${current + 1}] = false, current = (current + 1) % 3`);
  const housekeeping = new Housekeeping(database, pino({ level: 'silent' }), { ...limits, tableMs: 60_000 });
  const clean = async () =>
    (await stack.sql<{ clean: boolean[] }>('select clean from longwatch.mail_turn'))[0]!.clean[current];
  await database.transaction(async (db) => {
    await db.query({ text: `lock table longwatch.mail_${current} in share mode`, values: [] });
    await housekeeping.look();
    expect(await clean()).toBe(false);
  });
  await housekeeping.look();
  await housekeeping.look();
  expect(await clean()).toBe(true);
});

test('where a transaction that has a table is held open, nobody waits behind who would empty it', async () => {
  await nodeOf(trackerOf({ receive: () => undefined }));
  const [{ current }] = (await stack.sql<{ current: number }>('select current from longwatch.mail_turn')) as [
    { current: number },
  ];
  await stack.sql(`update longwatch.mail_turn set clean[${current + 1}] = false, current = (current + 1) % 3`);
  const housekeeping = new Housekeeping(database, pino({ level: 'silent' }), { ...limits, tableMs: 60_000 });
  const clean = async () =>
    (await stack.sql<{ clean: boolean[] }>('select clean from longwatch.mail_turn'))[0]!.clean[current];
  const waits = async () =>
    (await stack.sql(`select 1 from pg_locks where not granted and relation = 'longwatch.mail_${current}'::regclass`))
      .length > 0;
  await database.transaction(async (held) => {
    // As somebody does who looks, and forgets to end it.
    await held.query({ text: 'select count(*) from longwatch.mail', values: [] });
    let isOver = false;
    const look = housekeeping.look().finally(() => (isOver = true));
    let waited = false;
    while (!isOver) waited ||= await waits();
    await look;
    expect(waited).toBe(false);
    expect(await send([['a', 1]])).toEqual(['taken']);
  });
  expect(await clean()).toBe(false);
  await housekeeping.look();
  await housekeeping.look();
  expect(await clean()).toBe(true);
});

test('a snapshot that is held open under load does not let the tables grow: they are turned and emptied beside it', async () => {
  const { turns } = await nodeOf(trackerOf({ receive: (_message, context) => context.reply(1) }));
  const housekeeping = new Housekeeping(database, pino({ level: 'silent' }), limits);
  const size = async () =>
    (
      await stack.sql<{ bytes: number }>(
        `select sum(pg_relation_size(c.oid))::int as bytes from pg_class c where c.relname in ('mail_0', 'mail_1', 'mail_2')`,
      )
    )[0]!.bytes;
  const text = 'x'.repeat(1_000);
  const rounds = 12;
  await database.transaction(
    async (held) => {
      await held.query({ text: 'select count(*) from longwatch.tracker', values: [] });
      for (let round = 0; round < rounds; round++) {
        await send(Array.from({ length: 100 }, (_, i): [string, string] => [`m${i}`, text]));
        turns.lookAtAll();
        await handled();
        await housekeeping.look();
        expect(await size()).toBeLessThan(5 * 100 * 1_000);
      }
      // It sees still what it saw then: a vacuum could have taken nothing away.
      await held.query({ text: 'select count(*) from longwatch.tracker', values: [] });
    },
    { begin: 'begin isolation level repeatable read' },
  );
});

test('a strike that nobody has counted for a day is forgotten', async () => {
  await nodeOf(trackerOf({ receive: () => undefined }));
  await stack.sql(
    `insert into longwatch.strike (tracker, slot, key, count, keeper, struck_at)
     select 't', 1, hours::text, 1, '0/1', now() - hours * interval '1 hour' from unnest($1::int[]) hours`,
    [[23, 25]],
  );
  await new Housekeeping(database, pino({ level: 'silent' }), limits).look();
  expect(await stack.sql('select key from longwatch.strike')).toEqual([{ key: '23' }]);
});
