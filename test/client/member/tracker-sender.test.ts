/** A program's letters to one tracker, with a store that answers when the test says so: order, repetition, time. */
import { MEMBER, type MemberLimits } from '../../../activities/tracker/member/constants';
import type { Admission } from '../../../activities/tracker/member/admission';
import type { Inserted, NewMail } from '../../../activities/tracker/store/mail';
import { DatabaseUnavailableError, TrackerStoppedError, UnknownTrackerError } from '../../../client/errors';
import { MailboxFullError, SendUnansweredError, TooOldError } from '../../../client/member/errors';
import { letterOf, type SendOptions } from '../../../client/member/letter';
import { TrackerSender, type MailStore } from '../../../client/member/tracker-sender';
import { eventually } from '../../support/stack';

const AHEAD = 3_600_000;
const away = new DatabaseUnavailableError('db', 'away');

interface Call {
  readonly batch: readonly NewMail[];
  answer(admissions?: Admission[], state?: Inserted['state']): void;
  fail(error: Error): void;
}

/** Its database is an hour ahead of this machine. */
class Store implements MailStore {
  readonly client = 'client';
  readonly calls: Call[] = [];
  refusal: Error | undefined;
  forgotten = 0;
  full = new Map<number, number>();
  limits = (): Promise<MemberLimits> =>
    this.refusal === undefined ? Promise.resolve(MEMBER) : Promise.reject(this.refusal);
  forget = (): void => void this.forgotten++;
  now = (): number => performance.timeOrigin + performance.now() + AHEAD;
  passes = (error: unknown): boolean => error === away;
  insert(batch: readonly NewMail[]): Promise<Inserted> {
    return new Promise((resolve, reject) =>
      this.calls.push({
        batch,
        answer: (admissions = batch.map(() => 'taken'), state = admissions.length > 0 ? 'running' : undefined) =>
          resolve({ state, admissions, keepers: [], full: this.full, unkept: [] }),
        fail: (error) => reject(error),
      }),
    );
  }
  call(nth: number): Promise<Call> {
    return eventually(`call ${nth}`, () => this.calls[nth]);
  }
}

/** The time of a letter that waits until the test says that it is over. */
const ITS_TIME = 3_600_000;
const isOver = (): void => {
  for (const [end, ms] of timers.mock.calls) if (ms === ITS_TIME) end();
};

let store: Store;
let sender: TrackerSender;
let timers: jest.SpyInstance<NodeJS.Timeout, [() => void, number?]>;
afterEach(() => timers.mockRestore());
beforeEach(() => {
  timers = jest.spyOn(globalThis, 'setTimeout');
  store = new Store();
  sender = new TrackerSender('t', store);
});

const outcomes: string[] = [];
beforeEach(() => void (outcomes.length = 0));
/** Its outcome is noted under the message. */
const send = (member: string, message: string, options: SendOptions = {}) => {
  const sent = sender.send(letterOf({ tracker: 't', id: member }, message, options), options.signal);
  sent.then(
    () => outcomes.push(`${message} stored`),
    (error: Error) => outcomes.push(`${message} ${error.name}`),
  );
  return sent;
};
/** The sender has heard the answer that it was given just now. */
const toldToWait = () => new Promise(setImmediate);
const texts = ({ batch }: Call) => batch.map(({ json }) => JSON.parse(json) as string);

test('what is sent in one moment shares a batch, and the next one waits for its outcome', async () => {
  const first = send('a', '1');
  void send('b', '2');
  const call = await store.call(0);
  expect(texts(call)).toEqual(['1', '2']);
  void send('a', '3');
  expect(outcomes).toEqual([]);
  call.answer();
  await first;
  const next = await store.call(1);
  expect(texts(next)).toEqual(['3']);
  expect(next.batch[0]).toMatchObject({ number: 3, previous: 1, from: call.batch[0]!.from });
  next.answer();
  await sender.idle();
  expect(outcomes).toEqual(['1 stored', '2 stored', '3 stored']);
});

test('times are those of the database', async () => {
  const before = store.now();
  void sender.send(letterOf({ tracker: 't', id: 'a' }, 1, { timeout: '2s' }, { id: 'q' }));
  const [mail] = (await store.call(0)).batch;
  expect(mail!.toldAt).toBeGreaterThan(before - 10);
  expect(mail!.toldAt).toBeLessThan(store.now() + 10);
  expect(mail!.request).toEqual({ id: 'q', client: 'client', deadline: mail!.toldAt + 2_000 });
  store.calls[0]!.answer();
});

test('a batch whose answer is lost is told again as it was, before all that came later', async () => {
  void send('a', '1');
  const call = await store.call(0);
  void send('a', '2');
  call.fail(away);
  const again = await store.call(1);
  expect(again.batch.map(({ number }) => number)).toEqual([1]);
  expect(again.batch[0]!.from).toBe(call.batch[0]!.from);
  again.answer();
  (await store.call(2)).answer();
  await sender.idle();
  expect(outcomes).toEqual(['1 stored', '2 stored']);
});

test('a full mailbox keeps back what follows it, and nobody else', async () => {
  void send('a', '1');
  void send('b', '2');
  (await store.call(0)).answer(['wait', 'taken']);
  void send('a', '3');
  void send('c', '4');
  const other = await store.call(1);
  expect(texts(other)).toEqual(['4']);
  other.answer();
  const later = await store.call(2);
  expect(texts(later)).toEqual(['1', '3']);
  later.answer();
  await sender.idle();
  expect(outcomes).toEqual(['2 stored', '4 stored', '1 stored', '3 stored']);
});

test('a mailbox that has no room in time: not accepted, and what follows it goes on', async () => {
  const full = send('a', '1', { timeout: ITS_TIME });
  (await store.call(0)).answer(['wait']);
  await toldToWait();
  isOver();
  await expect(full).rejects.toThrow(MailboxFullError);
  await expect(full).rejects.toMatchObject({ accepted: false, tracker: 't', member: 'a' });
  void send('a', '2');
  const next = await store.call(1);
  expect(next.batch).toMatchObject([{ number: 2 }]);
  expect(next.batch[0]).not.toHaveProperty('previous');
  next.answer();
  await sender.idle();
});

test('no answer in time: it is not known; nobody tells it again, and the next one leaves', async () => {
  const lost = send('a', '1', { timeout: ITS_TIME });
  (await store.call(0)).fail(away);
  (await store.call(1)).fail(away);
  isOver();
  await expect(lost).rejects.toThrow(SendUnansweredError);
  await expect(lost).rejects.toMatchObject({ accepted: 'unknown', cause: away });
  void send('a', '2');
  const next = await eventually('the next letter', () => {
    for (const call of store.calls) if (texts(call).includes('1')) call.fail(away);
    return store.calls.find((call) => texts(call).includes('2'));
  });
  expect(next.batch).toMatchObject([{ number: 2 }]);
  next.answer();
  await sender.idle();
});

test.each([
  ['told to wait', 'wait'],
  ['too old', 'too old'],
] as const)('after an answer that was lost nobody says that it was not accepted: %s', async (_what, admission) => {
  const sent = send('a', '1', { timeout: ITS_TIME });
  // It is stored, and that nobody hears: the mailbox is full of it when it is told again.
  (await store.call(0)).fail(away);
  (await store.call(1)).answer([admission]);
  await toldToWait();
  if (admission === 'wait') isOver();
  await expect(sent).rejects.toMatchObject({ accepted: 'unknown' });
  await sender.idle();
});

test('after an answer that was lost, a tracker that is stopped meanwhile does not say that it was not accepted', async () => {
  const sent = send('a', '1');
  (await store.call(0)).fail(away);
  (await store.call(1)).answer(['wait']);
  const stopped = new TrackerStoppedError('t');
  store.refusal = stopped;
  await expect(sent).rejects.toThrow(SendUnansweredError);
  await expect(sent).rejects.toMatchObject({ accepted: 'unknown', cause: stopped });
});

test('a statement that hangs keeps nobody for longer than his time', async () => {
  const hangs = send('a', '1', { timeout: 50 });
  await store.call(0);
  const behind = send('b', '2', { timeout: 50 });
  await expect(hangs).rejects.toThrow(SendUnansweredError);
  await expect(behind).rejects.toThrow(MailboxFullError);
  store.calls[0]!.answer();
  await sender.idle();
  expect(store.calls).toHaveLength(1);
});

test('the database is away before anything was written: not accepted, in its own words', async () => {
  store.refusal = away;
  await expect(send('a', '1', { timeout: 100 })).rejects.toBe(away);
  store.refusal = undefined;
  const next = send('a', '2');
  expect(texts(await store.call(0))).toEqual(['2']);
  store.calls[0]!.answer();
  await next;
});

test('a tracker that is not there, or is stopped: all that wait are told, and it is looked at again', async () => {
  const unknown = new UnknownTrackerError('t', '', []);
  store.refusal = unknown;
  await expect(Promise.allSettled([send('a', '1'), send('b', '2')])).resolves.toEqual([
    { status: 'rejected', reason: unknown },
    { status: 'rejected', reason: unknown },
  ]);
  store.refusal = undefined;
  const stopped = send('a', '3');
  const call = await store.call(0);
  store.refusal = new TrackerStoppedError('t');
  call.answer(['wait'], 'stopped');
  await expect(stopped).rejects.toThrow(TrackerStoppedError);
  expect(store.forgotten).toBe(1);
  store.refusal = undefined;
  // Started again in between: what waits goes through.
  const ok = send('a', '4');
  (await store.call(1)).answer([], undefined);
  (await store.call(2)).answer();
  await ok;
});

test('a failure that does not pass is that of its letters, unless an attempt before it may have stored them', async () => {
  const bad = new Error('permission denied');
  const first = send('a', '1');
  (await store.call(0)).fail(bad);
  await expect(first).rejects.toBe(bad);
  const second = send('a', '2');
  (await store.call(1)).fail(away);
  (await store.call(2)).fail(bad);
  await expect(second).rejects.toThrow(SendUnansweredError);
  const third = send('a', '3');
  (await store.call(3)).answer(['too old']);
  await expect(third).rejects.toThrow(TooOldError);
  await expect(third).rejects.toMatchObject({ accepted: false });
});

test('withdrawn before it was written it never is; while it is, nobody says that it was not', async () => {
  const abort = new AbortController();
  const hangs = send('a', '1');
  await store.call(0);
  const withdrawn = send('a', '2', { signal: abort.signal });
  abort.abort(new Error('changed my mind'));
  await expect(withdrawn).rejects.toThrow('changed my mind');
  await expect(send('a', '3', { signal: abort.signal })).rejects.toThrow('changed my mind');
  store.calls[0]!.answer();
  await hangs;
  await sender.idle();
  expect(store.calls).toHaveLength(1);
});

test('a process that does not wait for its letters is told so before its memory is full', async () => {
  sender = new TrackerSender('t', store, { entries: 3, bytes: 10 });
  void send('a', '1');
  void send('b', '2');
  void send('b', '3');
  await expect(send('a', '4')).rejects.toThrow(/3 messages of this process wait for 't' already/);
  (await store.call(0)).answer();
  await sender.idle();
  void send('a', '12345');
  await expect(send('a', '67')).rejects.toThrow(MailboxFullError);
  await store.call(1).then((call) => call.answer());
  await sender.idle();
});
