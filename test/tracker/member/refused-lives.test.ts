/**
 * The commit of turns refuses what is too much, on the real PostgreSQL: bounds of what handlers send, in messages and
 * in bytes. Members for whom nothing was written are forgotten.
 */
import { pino } from 'pino';
import { Database } from '../../../activities/lib/database';
import type { MemberPart } from '../../../activities/tracker/member/commit';
import { MEMBER } from '../../../activities/tracker/member/constants';
import { byId } from '../../../activities/tracker/route';
import { purgeLives } from '../../../activities/tracker/store/ended-lives';
import { commitTurns } from '../../../activities/tracker/store/lives';
import { slotOf } from '../../../workflows/tracker/slots';
import { Stack } from '../../support/stack';

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
  await stack.sql('delete from longwatch.tracker');
  await stack.sql('truncate longwatch.mail');
  await stack.sql(`insert into longwatch.tracker (name, options, pools) values ('t', '{}', 2)`);
  await stack.sql(
    `insert into longwatch.pool (tracker, pool, token, run_id, shift, attempt, roster_version)
     select 't', p, 1, 'run', 1, 1, 1 from generate_series(0, 1) p`,
  );
});

const limits = { ...MEMBER, handlerMail: { entries: 5, bytes: 100 } };
const part = (id: string, given: Partial<MemberPart> = {}): MemberPart => ({
  id,
  expected: 0,
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
const row = { state: '1', marks: new Map(), applied: new Map(), sets: 0, stateVersion: 1 };
/** @returns the members that were refused */
async function commit(...members: MemberPart[]) {
  const [verdict] = await commitTurns(
    database.single,
    { pools: [{ tracker: 't', pool: 0, token: 1, rosterVersion: 1, members }] },
    {
      owners: [{ claim: { tracker: 't', pool: 0, runId: 'run', shift: 1, attempt: 1, node: 'n' }, token: 1 }],
      push: () => Promise.resolve(),
      placingOf: () => byId,
      limits,
    },
  );
  expect(verdict!.verdict).toBe('done');
  return verdict!.refused;
}
const waits = (member: string, messages: number, bytes: number) =>
  stack.sql(
    `insert into longwatch.mail (place, id, tracker, member, slot, sender, json, bytes, told_at)
     select 0, nextval('longwatch.stamp'), 't', $1, $2, 's', '1', $4, now() from generate_series(1, $3)`,
    [member, slotOf(byId(member)), messages, bytes],
  );
const sending = (to: string, ...texts: string[]) => ({
  row,
  sent: texts.map((text) => ({ to: { tracker: 't', id: to }, json: JSON.stringify(text) })),
});
const mailOf = async (member: string) =>
  (await stack.sql<{ bytes: number }>('select bytes from longwatch.mail where member = $1 order by id', [member])).map(
    ({ bytes }) => bytes,
  );

test('what a handler sends may fill a mailbox, to the message', async () => {
  await waits('b', 3, 1);
  expect(await commit(part('a', sending('b', '1', '2')))).toEqual([]);
  expect(await mailOf('b')).toHaveLength(5);
  const [refused] = await commit(part('c', sending('b', '3')));
  expect(refused).toMatchObject({ id: 'c', why: 'refused', name: 'MailboxFullError' });
  expect(refused!.error).toBe('the mailbox of b of t is full: 5 messages (9 bytes) wait, and 1 (3 bytes) would come');
  expect(await mailOf('b')).toHaveLength(5);
});

test('and to the byte of UTF-8', async () => {
  // 'жжж' has eight bytes.
  await waits('b', 1, 92);
  expect(await commit(part('a', sending('b', 'жжж')))).toEqual([]);
  expect(await mailOf('b')).toEqual([92, 8]);
  await waits('c', 1, 93);
  expect(await commit(part('d', sending('c', 'жжж')))).toMatchObject([{ id: 'd', name: 'MailboxFullError' }]);
  expect(await mailOf('c')).toEqual([93]);
});

test('one that has no mail takes all of a turn, and a turn is not refused for what others of its commit send', async () => {
  expect(await commit(part('a', sending('b', ...'1234567')))).toEqual([]);
  await waits('c', 4, 1);
  const refused = await commit(part('d', sending('c', '1')), part('e', sending('c', '1', '2')), part('f', { row }));
  expect(refused.map(({ id }) => id)).toEqual(['e']);
  expect(await mailOf('c')).toHaveLength(5);
});

test('nothing is sent into a pool that is full for handlers too, by name', async () => {
  const of = (pool: number) => ['a', 'b', 'c', 'd', 'e', 'f', 'g'].find((id) => byId(id) % 2 === pool)!;
  await stack.sql(
    `insert into longwatch.mail_full (tracker, pool, entries, bytes, for_handlers) values ('t', 1, 7, 8, true)`,
  );
  const refused = await commit(part('x', sending(of(1), '1')), part('y', sending(of(0), '1')));
  expect(refused).toEqual([
    { id: 'x', why: 'refused', name: 'MailboxFullError', error: 'pool 1 of t is full: 7 messages (8 bytes) wait' },
  ]);
  await stack.sql(`update longwatch.mail_full set for_handlers = false`);
  expect(await commit(part('x', sending(of(1), '1')))).toEqual([]);
});

test('a dead letter keeps whom its reply goes to', async () => {
  const dead = { json: '1', from: 's', attempts: 3, error: 'no', replyTo: { tracker: 'other', id: 'ж' } };
  await commit(part('a', { row, dead: [dead, { ...dead, replyTo: undefined }] as MemberPart['dead'] }));
  expect(await stack.sql('select reply_tracker, reply_id from longwatch.member_dead order by id')).toEqual([
    { reply_tracker: 'other', reply_id: 'ж' },
    { reply_tracker: null, reply_id: null },
  ]);
});

describe('a life that was made for a lock alone', () => {
  const ids = async () =>
    (await stack.sql<{ id: string }>('select id from longwatch.life order by id')).map(({ id }) => id);
  const age = async (ms: number) => {
    await stack.sql(`update longwatch.life_ended set ended_at = now() - $1 * interval '1 ms'`, [ms]);
    await stack.sql(`update longwatch.life set written_at = now() - $1 * interval '1 ms'`, [ms]);
    await purgeLives(database.single);
  };

  test('of a turn that was refused is forgotten a day later, and no other', async () => {
    await waits('full', 5, 1);
    await commit(
      part('refused', sending('full', '1')),
      part('made', { row, spawn: 1 }),
      part('stale', { expected: 1 }),
    );
    await stack.sql(
      `insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('t', 'added', 1, 1, 1)`,
    );
    // One that was added by hand, and whose first message has failed.
    await commit(part('added'));
    expect(await ids()).toEqual(['added', 'made', 'refused']);
    expect(await stack.sql('select id from longwatch.life_ended')).toEqual([{ id: 'refused' }]);
    await age(MEMBER.marksMs - 60_000);
    expect(await ids()).toEqual(['added', 'made', 'refused']);
    await age(MEMBER.marksMs + 1);
    expect(await ids()).toEqual(['added', 'made']);
  });

  test('is kept while mail waits, and when its message makes the member after all', async () => {
    await waits('waits', 1, 1);
    await commit(part('waits'), part('late'));
    await commit(part('late', { row, spawn: 1 }));
    await age(MEMBER.marksMs + 1);
    expect(await ids()).toEqual(['late', 'waits']);
    await stack.sql('truncate longwatch.mail');
    await age(MEMBER.marksMs + 1);
    expect(await ids()).toEqual(['late']);
  });

  test('that is forgotten in the moment of a commit makes the turn void, and loses nothing of it', async () => {
    await commit(part('a'));
    // Between the look for the row and its lock.
    await stack.sql(`create function pg_temp_gone() returns trigger language plpgsql as $$ begin return null; end $$`);
    await stack.sql(`create trigger gone before insert on longwatch.life for each row execute function pg_temp_gone()`);
    try {
      await stack.sql('delete from longwatch.life');
      expect(await commit(part('a', { row }))).toEqual([{ id: 'a', why: 'stale' }]);
    } finally {
      await stack.sql('drop trigger gone on longwatch.life');
      await stack.sql('drop function pg_temp_gone()');
    }
    expect(await ids()).toEqual([]);
  });
});
