/**
 * A push as a whole: what a full shard refuses goes to one that has room, and whatever ends it says what was accepted
 * before.
 */
import { WorkflowNotFoundError } from '@temporalio/client';
import { BufferHandle } from '../../client/buffer/handle';
import type { Connections } from '../../client/connections';
import { BufferSenders } from '../../client/buffer/senders';
import { shardWorkflowId, type PushMessage } from '../../workflows/buffer/contract';
import { OPTIONS } from '../buffer/options';

const full = () => Object.assign(new Error('refused'), { cause: { type: 'BufferFull', details: [10] } });
type Answer = (shard: string, message: PushMessage) => unknown;

/** Temporal, as it answers; PostgreSQL knows the buffer and nothing else. */
function connections(answer: Answer, options: object = {}): Connections {
  const getHandle = (id: string) => ({
    executeUpdate: (_: unknown, { args }: { args: [PushMessage[]] }) =>
      Promise.resolve().then(() => answer(id, args[0][0]!) ?? { accepted: true }),
    signal: (_: unknown, message: PushMessage) => Promise.resolve().then(() => answer(id, message)),
  });
  const client = { workflow: { getHandle } };
  const row = { state: 'running', declared: { ...OPTIONS, ...options }, changes: {}, shard: null, pending: 0 };
  return {
    temporal: (request: (of: unknown) => unknown) => request(client),
    rows: () => Promise.resolve([row]),
  } as unknown as Connections;
}

describe('what a shard refuses', () => {
  const parcel = { entries: [1], bytes: 3 };
  const ids = (shards: number[]) => shards.map((shard) => shardWorkflowId('b', shard));

  test('goes to another one that has room, where it has no key; the next one is numbered as if it had not been', async () => {
    const said: [string, number | undefined, unknown][] = [];
    let isFull = true;
    const senders = new BufferSenders(
      connections((shard, { seq, entries }) => {
        said.push([shard, seq, entries]);
        if (isFull && shard !== shardWorkflowId('b', 2)) throw full();
      }),
      'b',
    );
    await senders.send(0, 'update', parcel, Date.now() + 60_000, 4);
    expect(said.map(([shard]) => shard)).toEqual(ids([0, 1, 2]));
    isFull = false;
    await senders.send(0, 'update', { entries: [2], bytes: 3 }, Date.now() + 60_000, 4);
    expect(said.at(-1)).toEqual([shardWorkflowId('b', 0), 1, [2]]);
  });

  test.each([
    ['has a key', { keys: ['k'] }, 4],
    ['has no other shard', {}, 1],
  ])('waits for its own where it %s', async (_, more, shards) => {
    const said: string[] = [];
    const numbers = new Set<string>();
    const senders = new BufferSenders(
      connections((shard, { sender, seq }) => {
        said.push(shard);
        numbers.add(`${sender}.${seq}`);
        if (said.length < 3) throw full();
      }),
      'b',
    );
    await senders.send(0, 'update', { ...parcel, ...more }, Date.now() + 60_000, shards);
    expect(said).toEqual(ids([0, 0, 0]));
    // It is the same message each time.
    expect(numbers.size).toBe(1);
  });

  test('stays with its own where nobody knows whether that has it from before', async () => {
    const said: string[] = [];
    const senders = new BufferSenders(
      connections((shard) => {
        said.push(shard);
        if (said.length === 1) throw new WorkflowNotFoundError('lost', 'w', undefined);
        if (said.length === 2) throw full();
      }),
      'b',
    );
    await senders.send(0, 'update', parcel, Date.now() + 60_000, 4);
    expect(said).toEqual(ids([0, 0, 0]));
  });
});

describe('a push that fails in the middle says what was accepted before it', () => {
  afterEach(() => jest.useRealTimers());
  const handle = (answer: Answer = () => undefined) => new BufferHandle('b', connections(answer));
  function* broken(thrown: unknown) {
    for (let i = 0; i < 5_000; i++) yield i;
    throw thrown;
  }
  const failureOf = (push: Promise<unknown>) =>
    push.then(
      () => 'it did not fail',
      (error: unknown) => error,
    );

  test.each([
    ['an error', new Error('the file ends here'), 'the file ends here'],
    ['a frozen error', Object.freeze(new Error('frozen')), 'frozen'],
    ['nothing at all', undefined, 'undefined'],
  ])('where its iterable throws %s', async (_, thrown, message) => {
    const accepted: unknown[] = [];
    const one = handle((_shard, { entries }) => void accepted.push(...entries!));
    const error = await failureOf(one.push(broken(thrown) as Iterable<never>));
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ message, acceptedSoFar: 4_000 });
    expect(accepted).toHaveLength(4_000);
  });

  test('where its entry 5,001 cannot be pushed, of a list nothing was', async () => {
    const entries = [...Array.from({ length: 5_000 }, (_, i) => i), 1n] as never[];
    const iterable = (function* () {
      yield* entries;
    })();
    expect(await failureOf(handle().push(iterable))).toMatchObject({ acceptedSoFar: 4_000, name: 'InvalidEntryError' });
    expect(await failureOf(handle().push(entries))).toMatchObject({ acceptedSoFar: 0, name: 'InvalidEntryError' });
  });

  test('where a shard has no room', async () => {
    jest.useFakeTimers();
    let messages = 0;
    const one = handle(() => {
      if (++messages > 2) throw full();
    });
    const entries = Array.from({ length: 7_000 }, (_, i) => i) as never[];
    const failed = failureOf(one.push(entries, { wait: true, timeoutMs: 300 }));
    await jest.advanceTimersByTimeAsync(1_000);
    const error = await failed;
    expect(error).toMatchObject({ name: 'BufferFullError', acceptedSoFar: 4_000 });
  });
});

describe('how long a push waits', () => {
  afterEach(() => jest.useRealTimers());

  test.each([Infinity, 3_000_000_000])('%d ms are not over at once', async (timeoutMs) => {
    jest.useFakeTimers();
    let accept: () => void = () => undefined;
    const accepted = new Promise<void>((resolve) => (accept = resolve));
    const push = new BufferHandle(
      'b',
      connections(() => accepted),
    ).push([1] as never[], { timeoutMs });
    const outcome = push.catch((error: unknown) => error);
    await jest.advanceTimersByTimeAsync(3_600_000);
    accept();
    expect(await outcome).toEqual({ accepted: 1, messages: 1 });
  });

  test.each([NaN, -1, '5s'])('%p is not a time', async (timeoutMs) => {
    const said: unknown[] = [];
    const handle = new BufferHandle(
      'b',
      connections((_shard, message) => void said.push(message)),
    );
    await expect(handle.push([1] as never[], { timeoutMs: timeoutMs as number })).rejects.toMatchObject({
      name: 'InvalidEntryError',
      message: expect.stringContaining('timeoutMs must be milliseconds from 0 on') as string,
    });
    expect(said).toEqual([]);
  });
});
