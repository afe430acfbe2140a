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
