/**
 * Batches, pages, durable activities and gates take their tokens before their code begins; what has none in a moment is
 * put off. And code in a thread asks its node for each request.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { defineUpstream } from '../../activities/upstream/define';
import { budgetedConfig } from '../../activities/upstream/spend/before';
import { RunSpending } from '../../activities/upstream/spend/run';
import { OutOfTokens, shortageOf } from '../../activities/upstream/spend/shortage';
import { answerThread, ThreadSpending } from '../../activities/upstream/spend/threads';
import { permitFor, spendingAs } from '../../activities/upstream/spending';
import { defineBuffer, defineSweep, resolveConfig } from '../../exports';
import { FakeSpender } from './fake-spender';

const upstream = defineUpstream({
  name: 'fake',
  origin: 'http://127.0.0.1:1',
  limits: { l: { key: 'address', tokens: 5, window: '1m' } },
});
const wanted = { method: 'GET', path: '/', id: undefined };
const ask = async () => (await permitFor('fake', wanted))!.report({ status: 200, header: () => undefined });

const called: string[] = [];
beforeEach(() => void (called.length = 0));

/** The gate and the activity may take so long. */
const SHORT_MS = 1_000;

const config = resolveConfig({
  trackers: [
    {
      name: 't',
      gate: { upstream, timeout: SHORT_MS, check: async () => (await ask(), called.push('gate'), true) },
      operations: { look: { every: '1s', run: () => ({ value: 1 }) } },
    },
  ],
  buffers: [defineBuffer({ name: 'b', upstream, run: async () => (await ask(), void called.push('batch')) })],
  sweeps: [
    defineSweep({
      ...{ name: 's', every: '1s', table: 'x', due: 'true', upstream },
      handle: async () => (await ask(), void called.push('page')),
    }),
  ],
  activities: [
    {
      ...{ name: 'a', upstream, timeout: SHORT_MS, run: async () => (await ask(), called.push('activity'), 'done') },
      compensate: async () => (await ask(), void called.push('compensation')),
    } as never,
  ],
});

const codes = (spender: FakeSpender, signal?: AbortSignal) => {
  const of = budgetedConfig(config, spender);
  const context = { signal } as never;
  return {
    gate: () => of.trackers[0]!.definition.gate!.check(context),
    batch: () => of.buffers[0]!.definition.run([] as never, context),
    page: () => of.jobs[0]!.handle!([], context),
    activity: () => of.activities[0]!.definition.run(undefined, context),
    compensation: () => of.activities[0]!.compensation!.run(undefined, undefined, context),
  };
};
const KINDS = ['gate', 'batch', 'page', 'activity'] as const;

test.each(KINDS)(
  'a %s takes its tokens first, by a class of its own, and gives back what it did not need',
  async (kind) => {
    const spender = new FakeSpender(() => 'all', 5);
    await codes(spender)[kind]();
    expect(called).toEqual([kind]);
    expect(spender.bucket('all').tokens).toBe(4);
    const { class: of, by } = spender.uses[0]!;
    expect([of, by]).toEqual([
      kind === 'batch' || kind === 'page' ? 'bulk' : 'call',
      { gate: 't/gate', batch: 'buffer/b', page: 'sweep/s', activity: 'activity/a' }[kind],
    ]);
  },
);

test.each(KINDS)(
  'a %s whose bucket is empty for long is put off before its code begins, as by a hold',
  async (kind) => {
    const spender = new FakeSpender(() => 'all');
    spender.bucket('all').waitMs = 60_000;
    const error = await Promise.resolve(codes(spender)[kind]()).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: 'HoldError', afterMs: 60_000, scope: 'member', when: 'before' });
    expect((error as Error).message).toBe('fake/l:all has nothing left');
    expect(called).toEqual([]);
    expect(spender.bucket('all').waiters.size).toBe(0);
  },
);

test('one that waits a moment goes on as soon as there is something', async () => {
  const spender = new FakeSpender(() => 'all');
  const running = codes(spender).batch();
  expect(spender.bucket('all').waiters.size).toBe(1);
  spender.bucket('all').give(1);
  await running;
  expect(called).toEqual(['batch']);
});

test.each(KINDS)('a %s that was given up in the line does not begin when there is something', async (kind) => {
  const spender = new FakeSpender(() => 'all');
  const caller = new AbortController();
  const running = codes(spender, caller.signal)[kind]();
  expect(spender.bucket('all').waiters.size).toBe(1);
  caller.abort(new Error('it took too long'));
  await expect(running).rejects.toThrow('it took too long');
  spender.bucket('all').give(1);
  await expect(Promise.resolve(codes(spender, caller.signal)[kind]())).rejects.toThrow('it took too long');
  expect(called).toEqual([]);
  expect(spender.bucket('all')).toMatchObject({ tokens: 1, waiters: new Set() });
});

test.each(['gate', 'activity'] as const)(
  'a %s whose time is short is put off before that is over: a wait is no failure',
  async (kind) => {
    const spender = new FakeSpender(() => 'all');
    const running = Promise.resolve(codes(spender)[kind]()).catch((thrown: unknown) => thrown);
    // Its caller waits for so long.
    const first = await Promise.race([running, delay(SHORT_MS, 'it took too long')]);
    expect(first).toMatchObject({ name: 'HoldError', when: 'before' });
  },
);

test('what takes an activity back takes its tokens first too', async () => {
  const spender = new FakeSpender(() => 'all', 5);
  await codes(spender).compensation();
  expect(called).toEqual(['compensation']);
  expect(spender.uses[0]).toMatchObject({ class: 'call', by: 'activity/a/compensate' });
});

test('nothing is wrapped of what names no upstream with limits', () => {
  const plain = resolveConfig({ buffers: [{ name: 'b', run: () => undefined }] });
  expect(budgetedConfig(plain, new FakeSpender())).toBe(plain);
});

test('a shortage is found behind the errors that users wrap around it', () => {
  const shortage = new FakeSpender(() => 'all').reserve('fake', { class: 'watch', by: 'x' });
  if (!shortage.isShort) throw new Error('it is');
  const wrapped = new Error('while asking', { cause: new Error('deeper', { cause: new OutOfTokens(shortage) }) });
  expect(shortageOf(wrapped)).toBe(shortage);
  const circle = new Error('round') as Error & { cause: unknown };
  circle.cause = circle;
  expect(shortageOf(circle)).toBeUndefined();
  expect(shortageOf(null)).toBeUndefined();
});

describe('code in a thread', () => {
  const use = { class: 'watch', by: 't/look', id: '7' } as const;

  test('asks its node for each request, and tells it the answers, headers and all', async () => {
    const spender = new FakeSpender(undefined, 2);
    const { port1, port2 } = new MessageChannel();
    const stop = answerThread(port1, new RunSpending(spender, use));
    const thread = new ThreadSpending(port2);
    await spendingAs(thread, async () => {
      const permit = (await permitFor('fake', wanted))!;
      expect(permit.maySend).toBe(true);
      const headers = () => [['x-left', '3']] as const;
      permit.report({ status: 200, header: () => undefined, headers, body: { a: 1 } });
      permit.release();
      (await permitFor('fake', wanted))!.lose();
      await expect(Promise.resolve(permitFor('fake', wanted))).rejects.toMatchObject({
        name: 'HoldError',
        scope: 'member',
      });
    });
    expect(spender.answers).toHaveLength(1);
    expect([spender.answers[0]!.header('x-left'), spender.answers[0]!.body]).toEqual(['3', { a: 1 }]);
    expect([spender.bucket('7').tokens, spender.bucket('7').underWay]).toEqual([0, 0]);
    const closed = once(port2, 'close');
    stop();
    await closed;
  });

  test.each([true, false])('hears from its node whether a limit takes a refusal for its own: %p', async (isTaken) => {
    const permit = { maySend: true, report: () => isTaken, release: () => undefined, lose: () => undefined };
    const { port1, port2 } = new MessageChannel();
    const stop = answerThread(port1, { permit: () => permit });
    const given = (await new ThreadSpending(port2).permit('fake', wanted))!;
    const refusal = { status: 429, header: () => undefined, refusedForMs: 5_000 };
    given.report(refusal);
    // Told once.
    given.report(refusal);
    expect(await given.judged).toBe(isTaken);
    stop();
  });

  test('that is ended while its request stands in a line keeps nothing of what comes then', async () => {
    const { port1, port2 } = new MessageChannel();
    let isReleased = false;
    const permit = {
      maySend: true,
      report: () => false,
      release: () => void (isReleased = true),
      lose: () => undefined,
    };
    let itsTurn = (_: typeof permit): void => undefined;
    let ask = (): void => undefined;
    const line = new Promise<typeof permit>((resolve) => (itsTurn = resolve));
    const asked = new Promise<void>((resolve) => (ask = resolve));
    const stop = answerThread(port1, { permit: () => (ask(), line) });
    void new ThreadSpending(port2).permit('fake', wanted);
    await asked;
    stop();
    itsTurn(permit);
    await turn();
    expect(isReleased).toBe(true);
  });

  test('that is ended leaves no request under way', async () => {
    const spender = new FakeSpender(undefined, 2);
    const { port1, port2 } = new MessageChannel();
    const stop = answerThread(port1, new RunSpending(spender, use));
    await new ThreadSpending(port2).permit('fake', { ...wanted, signal: new AbortController().signal });
    expect(spender.bucket('7').underWay).toBe(1);
    stop();
    expect(spender.bucket('7').underWay).toBe(0);
  });
});
