/**
 * `send` and `request` on the real PostgreSQL, with a hand in place of the node: it reads the mail, writes replies, and
 * tells of them. How often each is handled is not seen here, but where nodes are.
 */
import { pino } from 'pino';
import { Database } from '../../../activities/lib/database';
import { Listener } from '../../../activities/lib/listener';
import {
  announce,
  mailNoticeOf,
  nodeChannel,
  replyAnnouncements,
} from '../../../activities/tracker/store/mail-notices';
import { MEMBER } from '../../../activities/tracker/member/constants';
import { TrackerStoppedError, UnknownTrackerError } from '../../../client/errors';
import type { Longwatch } from '../../../client/longwatch';
import {
  DoesNotReceiveError,
  HandlerFailedError,
  MailboxFullError,
  MemberRemovedError,
  PlacedByRouteError,
  RequestTimedOutError,
} from '../../../client/member/errors';
import { hashId } from '../../../workflows/lib/hash';
import { slotOf } from '../../../workflows/tracker/slots';
import { writeNode, type NodeGiven } from '../../support/node-rows';
import { eventually, Stack } from '../../support/stack';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

let stack: Stack;
let longwatch: Longwatch;
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
  await stack.sql('delete from longwatch.node');
  await write('rooms', { receive: { maxMail: 3, maxMailBytes: 10_000 } });
  await stack.sql(`insert into longwatch.pool (tracker, pool, node) values ('rooms', 0, 'n')`);
  longwatch = await stack.connect();
});
afterEach(() => longwatch.close());

const write = (name: string, options: object, state = 'running') =>
  stack.sql(`insert into longwatch.tracker (name, options, state) values ($1, $2, $3)`, [
    name,
    JSON.stringify({ operations: {}, ...options }),
    state,
  ]);

interface Row {
  [column: string]: unknown;
  member: string;
  json: string;
  request: string | null;
  client: string | null;
}
const mail = () => stack.sql<Row>('select * from longwatch.mail order by id');
const asked = (count = 1) =>
  eventually('the request is stored', async () => {
    const rows = (await mail()).filter(({ request }) => request !== null);
    return rows.length >= count && rows;
  });
const answer = async ({ member, request, client }: Row, json: string | null, error?: [string, string]) => {
  await stack.sql(
    `insert into longwatch.reply (tracker, member, slot, request, client, json, error, message)
     values ('rooms', $1, $2, $3, $4, $5, $6, $7)`,
    [member, slotOf(hashId(member)), request, client, json, error?.[0] ?? null, error?.[1] ?? null],
  );
};
const tell = ({ client, request }: Row) =>
  announce(
    (statement, values) => database.rows(statement, values),
    replyAnnouncements([{ client: client!, request: request! }]),
  );
const room = (id = 'lobby') => longwatch.tracker('rooms').member(id);

test('a message is stored with all that was said beside it, and the node that keeps the pool hears of it', async () => {
  const heard: unknown[] = [];
  const listener = new Listener(database, {
    channel: nodeChannel('n'),
    heard: (payload) => payload !== undefined && heard.push(mailNoticeOf(payload)),
    log: pino({ level: 'silent' }),
  });
  await listener.start();
  await room().send({ say: 'ж\0\ud800' }, { replyTo: 'hall', requestId: 'r-1', traceparent: TRACE });
  const [row] = await mail();
  expect(row).toMatchObject({
    tracker: 'rooms',
    member: 'lobby',
    number: '1',
    reply_tracker: 'rooms',
    reply_id: 'hall',
  });
  expect(JSON.parse(row!.json)).toEqual({ say: 'ж\0\ud800' });
  expect(JSON.parse(String(row!.trace))).toEqual({ requestId: 'r-1', traceparent: TRACE });
  await eventually('the node hears', () => heard.length > 0);
  expect(heard).toEqual([{ tracker: 'rooms', pools: [0] }]);
  await listener.stop();
});

test('messages of one program keep their order, also where nobody waits for them', async () => {
  const ids = ['a', 'b', 'c'];
  const sent = Array.from({ length: 9 }, (_, i) => room(ids[i % 3]).send(i));
  await Promise.all(sent);
  expect((await mail()).map(({ json }) => Number(json))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('a reply is heard at once, and read where nobody told of it', async () => {
  const told = room().request('told');
  const [first] = await asked();
  await answer(first!, '{"n":1}');
  await tell(first!);
  await expect(told).resolves.toEqual({ n: 1 });
  const untold = room('hall').request('untold');
  const rows = await asked(2);
  await answer(rows[1]!, 'null');
  await expect(untold).resolves.toBeNull();
});

test.each([
  ['HandlerFailed', HandlerFailedError],
  ['Removed', MemberRemovedError],
  ['RequestTimedOut', RequestTimedOutError],
])('a failure in place of a reply: %s', async (name, type) => {
  const request = room().request(1);
  const [row] = await asked();
  await answer(row!, null, [name, 'in the words of the node']);
  await expect(request).rejects.toThrow(type);
  await expect(request).rejects.toThrow('in the words of the node');
});

test('a request without a reply ends with its time, and tells the node until when', async () => {
  const request = room().request(1, { timeout: 8_000 });
  const [row] = await asked();
  await expect(request).rejects.toThrow(RequestTimedOutError);
  await expect(request).rejects.toMatchObject({ accepted: true });
  const [times] = await stack.sql<{ ms: number }>(
    `select extract(epoch from deadline - told_at)::float8 * 1000 as ms from longwatch.mail where request = $1`,
    [row!.request],
  );
  expect(times!.ms).toBeCloseTo(8_000, 0);
});

test('a request that is cancelled ends at once', async () => {
  const abort = new AbortController();
  const request = room().request(1, { timeout: '1m', signal: abort.signal });
  await asked();
  abort.abort(new Error('enough'));
  await expect(request).rejects.toThrow('enough');
});

test('many replies at once are all read', async () => {
  await stack.sql(`update longwatch.tracker set options = jsonb_set(options, '{receive,maxMail}', '1000')`);
  const requests = Array.from({ length: 250 }, (_, i) => room(`r${i}`).request(i, { timeout: '30s' }));
  const rows = await asked(250);
  for (const row of rows) await answer(row, row.json);
  expect(await Promise.all(requests)).toEqual(Array.from({ length: 250 }, (_, i) => i));
});

/** Its time may end just when the sender asks once more; then nobody knows, though nothing is stored. */
function noRoomFor(message: number, member?: string): Promise<MailboxFullError> {
  return eventually('it is refused for want of room', async () => {
    const error: unknown = await room(member)
      .send(message, { timeout: 300 })
      .catch((thrown: unknown) => thrown);
    return error instanceof MailboxFullError && error;
  });
}

test('the mailbox of a member is bounded; a sender waits for room and goes on when there is some', async () => {
  await Promise.all([1, 2, 3].map((n) => room().send(n)));
  await noRoomFor(4);
  const waits = room().send(5, { timeout: '20s' });
  await room('other').send(6);
  await stack.sql(`delete from longwatch.mail where json = '1'`);
  await waits;
  expect((await mail()).map(({ json }) => json)).toEqual(['2', '3', '6', '5']);
});

/** The node of the pool, which has taken it some seconds ago. */
const keeps = async (more: Partial<NodeGiven> = {}) => {
  await stack.sql(`update longwatch.pool set taken_at = now() - interval '10 seconds'`);
  await writeNode(stack.sql.bind(stack), { name: 'n', placement: { reads: { rooms: 1 } }, ...more });
};
/** No member has more than one message. */
const fill = (count: number) =>
  stack.sql(
    `insert into longwatch.mail (place, id, tracker, member, slot, sender, json, bytes, told_at)
     select 0, nextval('longwatch.stamp'), 'rooms', 'm' || n, n, 's', '1', 1, now() from generate_series(1, $1) n`,
    [count],
  );
const full = () => stack.sql('select pool from longwatch.mail_full');

test('who sends and ends has counted the mail of a pool that no node handles, and leaves it to one that does', async () => {
  await fill(MEMBER.poolMail.entries);
  const sendAndEnd = async () => {
    const own = await stack.connect();
    await own.tracker('rooms').member('lobby').send(1);
    await own.close();
  };
  await keeps();
  await sendAndEnd();
  expect(await full()).toEqual([]);
  await keeps({ placement: { reads: {} } });
  await sendAndEnd();
  expect(await full()).toEqual([{ pool: 0 }]);
});

test.each([
  ['that nobody keeps', () => stack.sql('update longwatch.pool set node = null')],
  ['whose node is not heard of any more', () => keeps({ silentMs: 60_000 })],
  ['whose node has no code for it', () => keeps({ placement: { reads: {} } })],
  ['whose node has begun anew, and has not taken it', () => keeps({ upMs: 1_000 })],
])(
  'the mail of a pool %s is counted by who sends: past its bound a sender is told so by its name',
  async (_, leave) => {
    await fill(MEMBER.poolMail.entries);
    await leave();
    await room().send(1);
    await eventually('it was counted', async () => (await full())[0]);
    const refused = await noRoomFor(2, 'other');
    expect(refused).toMatchObject({ accepted: false, pool: 0, tracker: 'rooms', member: 'other' });
    expect(refused.message).toContain("pool 0 of 'rooms' had no room in time; the message to 'other' was not accepted");
    const waits = room('other').send(3, { timeout: '1m' });
    await stack.sql(`delete from longwatch.mail where slot > 100`);
    await waits;
    expect(await full()).toEqual([]);
  },
);

test('what cannot be sent is refused, and says what to do', async () => {
  await write('plain', {});
  await write('ended', { receive: { maxMail: 3, maxMailBytes: 10_000 } }, 'stopped');
  const to = (tracker: string) => longwatch.tracker(tracker).member('a').send(1);
  await expect(to('roms')).rejects.toThrow(UnknownTrackerError);
  await expect(to('roms')).rejects.toThrow("there is no tracker 'roms'; did you mean 'rooms'?");
  await expect(to('a\0b')).rejects.toThrow(UnknownTrackerError);
  await expect(to('plain')).rejects.toThrow(DoesNotReceiveError);
  await expect(to('plain')).rejects.toThrow(/its definition has no `receive`/);
  await expect(to('ended')).rejects.toThrow(TrackerStoppedError);
  expect(await mail()).toEqual([]);
});

test('where a route places the members, a program sends by the definition', async () => {
  const by = (name: string) => ({ name: 'routed', route: { name, of: (id: string) => id.slice(0, 1) } });
  await write('routed', { route: 'initial', receive: { maxMail: 3, maxMailBytes: 10_000 } });
  const to = (tracker: string | ReturnType<typeof by>) => longwatch.tracker(tracker).member('alpha').send(1);
  await expect(to('routed')).rejects.toThrow(PlacedByRouteError);
  await expect(to(by('another'))).rejects.toThrow(/give the handle|get the handle by the definition/);
  await to(by('initial'));
  expect(await mail()).toMatchObject([{ member: 'alpha', slot: String(slotOf(hashId('a'))) }]);
});

test('a connection that is closed has stored what was sent, and takes nothing more', async () => {
  const own = await stack.connect();
  const sent = Promise.all(['a', 'b', 'c'].map((id) => own.tracker('rooms').member(id).send(id)));
  await own.close();
  await sent;
  expect((await mail()).map(({ member }) => member)).toEqual(['a', 'b', 'c']);
  await expect(own.tracker('rooms').member('a').send(1)).rejects.toThrow('this connection is closed; nothing was sent');
});
