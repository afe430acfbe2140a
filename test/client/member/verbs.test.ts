/**
 * `send`, `request`, `member`, `dead` and `show` of members, by the command line and the library, on the real
 * PostgreSQL; rows that a node would write are written by hand.
 */
import { writeFile } from 'node:fs/promises';
import type { Longwatch } from '../../../client/longwatch';
import { NotTrackedError, UnknownLetterError, UnknownTrackerError } from '../../../client/errors';
import { DoesNotReceiveError } from '../../../client/member/errors';
import { hashId } from '../../../workflows/lib/hash';
import { slotOf } from '../../../workflows/tracker/slots';
import { runCli } from '../../support/cli';
import { eventually, Stack } from '../../support/stack';

let stack: Stack;
let longwatch: Longwatch;
const cli = (...args: string[]) => runCli(stack, ...args);
const mail = () => stack.sql<Record<string, unknown>>('select * from longwatch.mail order by id');
const slot = (id: string) => slotOf(hashId(id));

beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());
beforeEach(async () => {
  await stack.sql('truncate longwatch.tracker cascade');
  await stack.sql('truncate longwatch.mail, longwatch.audit');
  const options = JSON.stringify({ operations: {}, receive: { maxMail: 3, maxMailBytes: 10_000 } });
  await stack.sql(`insert into longwatch.tracker (name, options) values ('rooms', $1)`, [options]);
  await stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('rooms', 'lobby', $1, 1, 1)`,
    [hashId('lobby')],
  );
});
const writeLife = (id: string, state: unknown) =>
  stack.sql(
    `insert into longwatch.life (tracker, id, slot, version, schema, state) values ('rooms', $1, $2, 7, 2, $3)`,
    [...[id, slot(id)], JSON.stringify(state)],
  );
const die = (member: string, message: unknown, error = 'HandlerError: no', replyTo: string | null = null) =>
  stack.sql(
    `insert into longwatch.member_dead (tracker, member, sender, json, attempts, error, trace, reply_tracker, reply_id)
     values ('rooms', $1, 's', $2, 8, $3, '{"requestId":"r"}', $4, $5)`,
    [member, JSON.stringify(message), error, replyTo && 'users', replyTo],
  );

describe('send and request', () => {
  test('messages as arguments and lines, in their order', async () => {
    const file = `${stack.dir}/messages`;
    await writeFile(file, '{"n":2}\n\n3\n');
    const sent = await cli(
      'send',
      'rooms',
      'lobby',
      '"one"',
      '--file',
      file,
      '--request-id',
      'r-1',
      '--reply-to',
      'hall',
    );
    expect(sent).toEqual({
      status: 0,
      out: "3 messages accepted for 'lobby' of 'rooms'\n",
      err: '1 blank line skipped\n',
    });
    const rows = await mail();
    expect(rows.map(({ json }) => json)).toEqual(['"one"', '{"n":2}', '3']);
    expect(rows[0]).toMatchObject({ reply_tracker: 'rooms', reply_id: 'hall', trace: '{"requestId":"r-1"}' });
    const json = await cli('send', 'rooms', 'hall', '1', '--json');
    expect(JSON.parse(json.out)).toEqual({ tracker: 'rooms', member: 'hall', accepted: 1, blankLines: 0 });
  });

  test('a request prints the reply', async () => {
    const asked = cli('request', 'rooms', 'lobby', '{"who":true}', '--json', '--timeout', '30');
    const row = await eventually('it is stored', async () => (await mail())[0]);
    await stack.sql(
      `insert into longwatch.reply (tracker, member, slot, request, client, json) values ('rooms', 'lobby', 0, $1, 'c', '["ana"]')`,
      [row.request],
    );
    const { status, out } = await asked;
    expect([status, JSON.parse(out)]).toEqual([0, { tracker: 'rooms', member: 'lobby', reply: ['ana'] }]);
  });

  test.each([
    [['send', 'rooms', 'lobby'], 2, 'give at least one message as JSON'],
    [['send', 'rooms', 'lobby', '{'], 2, '1 of the messages are not JSON; nothing was sent'],
    [['send', 'rooms', 'a\nb', '1'], 2, 'the member: the id has a control character'],
    [['send', 'nowhere', 'lobby', '1'], 2, "there is no tracker 'nowhere'"],
    [['send', 'rooms', 'lobby', '1', '--reply-tracker', 'users'], 2, 'give both'],
    [['send', 'rooms', 'lobby', '1', '--traceparent', 'x'], 2, 'is not one of W3C'],
    [['request', 'rooms', 'lobby', '1', '--timeout', '4'], 1, "'lobby' of 'rooms' has not replied within 4000 ms"],
    [['request', 'rooms', 'lobby', '1', '--timeout', '400'], 2, 'is not a duration from 1ms to 5m'],
    [['request', 'rooms', 'lobby'], 2, 'give at least one message'],
  ])('%j: status %d', async (args, status, text) => {
    const ended = await cli(...args);
    expect([ended.status, ended.out]).toEqual([status, '']);
    expect(ended.err).toContain(text);
  });

  test('a mailbox without room: status 1, and how many were accepted before', async () => {
    const sent = await cli('send', 'rooms', 'lobby', '1', '2', '3', '4', '--timeout', '15');
    expect(sent.status).toBe(1);
    expect(sent.err).toContain('3 messages accepted before that');
    expect(sent.err).toContain("the mailbox of 'lobby' of 'rooms' had no room in time; the message was not accepted");
  });
});

describe('member list, show and reload', () => {
  test('a state, what waits, and timers', async () => {
    await writeLife('lobby', { said: ['ж'] });
    await writeLife('hall', 1);
    await longwatch.tracker('rooms').member('lobby').send({ say: 'x' }, { requestId: 'r' });
    await stack.sql(`update longwatch.mail set attempts = 2, error = 'no', not_before = now() + interval '1 hour'`);
    await stack.sql(
      `insert into longwatch.timer (tracker, id, name, slot, set, at, json) values ('rooms', 'lobby', 'close', $1, 1, '2027-01-01Z', '{"t":1}')`,
      [slot('lobby')],
    );
    const strike = (key: string, count: number) =>
      stack.sql(
        `insert into longwatch.strike (tracker, slot, key, count, keeper) values ('rooms', $1, $2, $3, '0/1')`,
        [...[slot('lobby'), `rooms/lobby/${key}`, count]],
      );
    await strike(String((await mail())[0]!.id), 2);
    await strike('timer/1', 1);
    const [value] = await stack.sql<{ at: number }>(
      `insert into longwatch.value (member, operation, value, fetched_at, changed_at)
       select key, 'look', '1', '2026-01-02Z', '2026-01-02 00:00:00.123456Z' from longwatch.member where id = 'lobby'
       returning (extract(epoch from changed_at) * 1000)::float8 as at`,
    );
    await strike(`look/${value!.at}`, 2);
    // These are strikes of a value that is another one by now, and of a message that is not there any more.
    await strike('look/1', 1);
    await strike('1', 3);
    await die('lobby', 1);
    const shown = await longwatch.tracker('rooms').member('lobby').show();
    expect(shown).toMatchObject({
      ...{
        tracker: 'rooms',
        id: 'lobby',
        version: 7,
        stateVersion: 2,
        state: { said: ['ж'] },
        stateBytes: 15,
        dead: 1,
      },
      mail: { entries: 1, bytes: 11 },
      messages: [
        { message: { say: 'x' }, isRequest: false, attempts: 2, error: 'no', strikes: 2, trace: { requestId: 'r' } },
      ],
      timers: [{ name: 'close', at: '2027-01-01T00:00:00.000Z', attempts: 0, strikes: 1, message: { t: 1 } }],
      struckValues: [{ operation: 'look', changedAt: '2026-01-02T00:00:00.123Z', strikes: 2 }],
    });
    const page = await longwatch.tracker('rooms').lives({ limit: 1 });
    expect(page).toMatchObject({
      items: [{ id: 'hall', timers: 0, mail: { entries: 0, oldestAt: null } }],
      next: 'hall',
    });
    const rest = await longwatch.tracker('rooms').lives({ after: 'hall' });
    expect(rest).toMatchObject({ items: [{ id: 'lobby', timers: 1, mail: { entries: 1 } }], next: null });
    const text = (await cli('member', 'show', 'rooms', 'lobby')).out;
    for (const part of [
      'version 7',
      'mail: 1 message, 11 bytes',
      'timer close: at 2027',
      '1 dead letter',
      'failed 2 times: no',
      '; 2 processes may have ended by it (after three it is handled no more)',
      'at 2027-01-01T00:00:00.000Z; one process may have ended by it',
      'value of look of 2026-01-02T00:00:00.123Z; 2 processes may have ended by it',
      '"ж"',
    ])
      expect(text).toContain(part);
    expect((await cli('member', 'list', 'rooms')).out).toMatch(/^id.*\nhall.*\nlobby/);
    const of = await longwatch.tracker('rooms').show('lobby');
    expect(of.life).toMatchObject({ version: 7, dead: 1, timers: [{ name: 'close' }], mail: { entries: 1 } });
    expect(of.life).toMatchObject({ struckValues: [{ operation: 'look', strikes: 2 }] });
    expect((await cli('show', 'rooms', 'lobby')).out).toContain('mail: 1 message');
  });

  test('a request that may have ended processes is shown so', async () => {
    const given = new AbortController();
    const asked = longwatch.tracker('rooms').member('lobby').request(1, { signal: given.signal });
    asked.catch(() => undefined);
    const row = await eventually('it is stored', async () => (await mail())[0]);
    await stack.sql(
      `insert into longwatch.strike (tracker, slot, key, count, keeper) values ('rooms', $1, 'rooms/lobby/' || $2, 1, '0/1')`,
      [slot('lobby'), row.request],
    );
    const { messages } = await longwatch.tracker('rooms').member('lobby').show();
    expect(messages).toMatchObject([{ isRequest: true, strikes: 1 }]);
    given.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
  });

  test('a member that has mail and had no turn yet is shown; of nobody there is nothing', async () => {
    await longwatch.tracker('rooms').member('new').send(1);
    expect(await longwatch.tracker('rooms').member('new').show()).toMatchObject({
      version: 0,
      state: null,
      writtenAt: null,
    });
    expect((await cli('member', 'show', 'rooms', 'new')).out).toContain('new: no turn yet');
    expect((await cli('member', 'show', 'rooms', 'nobody')).status).toBe(1);
    await expect(longwatch.tracker('rooms').member('a\0b').show()).rejects.toThrow(NotTrackedError);
    expect((await longwatch.tracker('rooms').show('lobby')).life).toBeNull();
  });

  test('a member without a turn is shown and can be reloaded; one that was removed cannot, and a tracker must be there', async () => {
    const lobby = longwatch.tracker('rooms').member('lobby');
    expect(await lobby.show()).toMatchObject({ version: 0, state: null, writtenAt: null, messages: [], timers: [] });
    expect(await lobby.reload()).toEqual({ version: 0 });
    await stack.sql(`insert into longwatch.life (tracker, id, slot, version) values ('rooms', 'gone', 0, 4)`);
    await stack.sql(
      `insert into longwatch.member (tracker, id, hash, stamp, roster_version, removed_at) values ('rooms', 'gone', 1, 1, 1, now())`,
    );
    const gone = longwatch.tracker('rooms').member('gone');
    await expect(gone.show()).rejects.toThrow(NotTrackedError);
    await expect(gone.reload()).rejects.toThrow(NotTrackedError);
    const nowhere = longwatch.tracker('roms').member('lobby');
    await expect(nowhere.show()).rejects.toThrow("there is no tracker 'roms'; did you mean 'rooms'?");
    await expect(nowhere.reload()).rejects.toThrow(UnknownTrackerError);
  });

  test('reload raises the version, so that the commit of who has it in memory is refused as stale', async () => {
    await writeLife('lobby', 1);
    expect((await cli('member', 'reload', 'rooms', 'lobby')).status).toBe(0);
    expect(await longwatch.tracker('rooms').member('lobby').show()).toMatchObject({ version: 8, state: 1 });
    expect((await cli('member', 'reload', 'rooms', 'nobody')).status).toBe(1);
    expect(await longwatch.audit()).toMatchObject([
      { what: 'member reload', subject: 'tracker/rooms', outcome: 'done' },
    ]);
  });
});

describe('dead letters of members', () => {
  beforeEach(async () => {
    await stack.sql('alter sequence longwatch.member_dead_id_seq restart');
    await die('lobby', { n: 1 });
    await die('hall', { n: 2 }, 'TypeError: nope');
    await die('lobby', { n: 3 }, undefined, 'ж');
  });
  const dead = () => longwatch.tracker('rooms').dead;

  test('listed, chosen by member, error and age, and shown', async () => {
    expect(await dead().list()).toMatchObject([
      { id: '1', member: 'lobby', value: { n: 1 }, attempts: 8, from: 's', replyTo: null, trace: { requestId: 'r' } },
      { id: '2' },
      { id: '3', replyTo: { tracker: 'users', id: 'ж' } },
    ]);
    expect((await dead().list({ member: 'lobby' })).map(({ id }) => id)).toEqual(['1', '3']);
    expect((await dead().list({ error: 'typeerror' })).map(({ id }) => id)).toEqual(['2']);
    expect(await dead().count({ olderThanMs: 60_000 })).toBe(0);
    expect((await cli('dead', 'list', 'rooms', '--member', 'hall')).out).toMatch(/^id.*member.*\n2 .* 8 .*hall.*nope/);
    expect((await cli('dead', 'list', 'rooms')).err).toBe('');
    expect((await cli('dead', 'list', 'rooms', '--limit', '2')).err).toMatch(/^there may be more; .* --after /);
    expect((await cli('dead', 'show', 'rooms', '2')).out).toContain("2: for 'hall', 8 attempt(s)");
    expect((await cli('dead', 'show', 'rooms', '3')).out).toContain('reply to: ж of users');
    await expect(dead().show('9')).rejects.toThrow(UnknownLetterError);
  });

  test('retry: mail again, in their order, with all of their attempts; a dry run does nothing', async () => {
    expect(await dead().retry({ member: 'lobby' })).toEqual({ chosen: 2, applied: false });
    expect(await dead().count()).toBe(3);
    const done = await cli('dead', 'retry', 'rooms', '--member', 'lobby', '--apply', '--why', 'mended');
    expect(done).toMatchObject({ status: 0, out: '2 dead letters mail again\n' });
    expect(await mail()).toMatchObject([
      {
        member: 'lobby',
        slot: String(slot('lobby')),
        json: '{"n":1}',
        number: null,
        attempts: 0,
        sender: 's',
        bytes: 7,
        reply_id: null,
      },
      {
        ...{ member: 'lobby', json: '{"n":3}', trace: '{"requestId":"r"}' },
        ...{ reply_tracker: 'users', reply_id: 'ж' },
      },
    ]);
    expect((await dead().list()).map(({ id }) => id)).toEqual(['2']);
    const [turn] = await stack.sql<{ current: number; clean: boolean[] }>(
      'select current, clean from longwatch.mail_turn',
    );
    expect(turn!.clean[turn!.current]).toBe(false);
    expect(await longwatch.audit()).toMatchObject([
      {
        what: 'dead retry',
        subject: 'tracker/rooms',
        before: { member: 'lobby' },
        after: { chosen: 2 },
        why: 'mended',
      },
    ]);
  });

  test('nothing is brought back to members that take no messages', async () => {
    await stack.sql(`update longwatch.tracker set options = options - 'receive'`);
    await expect(dead().retry({}, { apply: true })).rejects.toThrow(DoesNotReceiveError);
    expect([await mail(), await dead().count()]).toEqual([[], 3]);
  });

  test('drop leaves nothing of them', async () => {
    expect(await dead().drop({ ids: ['2'] }, { apply: true })).toEqual({ chosen: 1, applied: true });
    expect((await dead().list()).map(({ id }) => id)).toEqual(['1', '3']);
    expect(await mail()).toEqual([]);
  });

  test.each([
    [['dead', 'retry', 'rooms'], 'say which: ids, --member'],
    [['dead', 'retry', 'rooms', '0-1', '--apply'], "'0-1' is not the id of a dead letter of a member"],
    [['dead', 'retry', 'rooms', '1', '--front', '--apply'], 'waits behind'],
    [['dead', 'list', 'rooms', '--recorded'], 'keeps no record'],
    [['dead', 'list', 'nowhere'], "there is no tracker 'nowhere'"],
  ])('%j: refused', async (args, text) => {
    const ended = await cli(...args);
    expect([ended.status, ended.out]).toEqual([2, '']);
    expect(ended.err).toContain(text);
    expect(await dead().count()).toBe(3);
  });
});
