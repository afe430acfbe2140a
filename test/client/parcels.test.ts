/** A push refuses some entries before anything is sent, and callers that share a sender are each told of their own. */
import { defineBuffer } from '../../exports';
import { inexactNumber } from '../../client/exact';
import { Packer, type Parcel } from '../../client/buffer/parcels';
import { ShardSender } from '../../client/buffer/shard-sender';
import type { Connections } from '../../client/connections';
import { shardOfKey } from '../../activities/buffer/keys';
import type { PushMessage } from '../../workflows/buffer/contract';
import { OPTIONS } from '../buffer/options';

const packer = new Packer('b', undefined);
async function pack(entries: Iterable<unknown>, options: object = {}, how: object = {}) {
  const parcels: { shard: number; parcel: Parcel }[] = [];
  for await (const one of packer.pack(entries, { ...OPTIONS, ...options }, how)) parcels.push(one);
  return parcels;
}

describe('a push', () => {
  test.each([
    ['not JSON', undefined, 'entry 5001 is not JSON'],
    ['a BigInt', 1n, 'entry 5001 cannot be JSON'],
    ['an id that a number cannot hold', { id: Number('9007199254740993') }, 'entry 5001: 9007199254740992 is above'],
  ])('of a list with %s at its end gives nothing of it', async (_, bad, message) => {
    const given: unknown[] = [];
    const all = packer.pack([...Array.from({ length: 5_000 }, (_, i) => i), bad], OPTIONS, {});
    const read = async () => {
      for await (const one of all) given.push(one);
    };
    await expect(read()).rejects.toThrow(message);
    expect(given).toEqual([]);
  });

  test.each([
    ['NaN', { at: [NaN] }, 'entry 2: NaN is not JSON'],
    ['Infinity', -Infinity, 'entry 2: -Infinity is not JSON'],
    ['what its toJSON says', { toJSON: () => Infinity }, 'entry 2: Infinity is not JSON'],
  ])('with %s, of which JSON makes null, is refused', async (_, bad, message) => {
    await expect(pack([{ n: null, text: 'null' }, bad])).rejects.toThrow(message);
  });

  test('keeps what JSON keeps: null, texts, powers; -0 is 0', async () => {
    const [one] = await pack([null, 'NaN', 1e21, 5e-324, -0]);
    expect(JSON.parse(JSON.stringify(one!.parcel.entries))).toEqual([null, 'NaN', 1e21, 5e-324, 0]);
  });

  test('whose key function throws is refused, with the entry, and nothing of a list is given', async () => {
    const key = ({ id }: { id: string | null }): string => id!.trim();
    const keyed = new Packer('b', defineBuffer({ name: 'b', key, run: (_: { id: string | null }[]) => undefined }));
    const entries = [...Array.from({ length: 5_000 }, () => ({ id: 'a' })), { id: null }];
    const given: unknown[] = [];
    const read = async () => {
      for await (const one of keyed.pack(entries, { ...OPTIONS, key: 'function' }, {})) given.push(one);
    };
    await expect(read()).rejects.toThrow('entry 5001: its key cannot be found: Cannot read');
    await expect(read()).rejects.toMatchObject({ name: 'InvalidEntryError' });
    expect(given).toEqual([]);
  });

  test.each([new Date('2030-13-45'), Infinity, NaN, -1])('not before %s, which is no time, is refused', async (at) => {
    await expect(pack([1], {}, { at })).rejects.toThrow('`at` must be a time');
  });

  test('counts bytes, and a key that is text only as JSON is the one that the shard reads', async () => {
    const [one] = await pack(['好'.repeat(30_000)]);
    expect(one!.parcel.bytes).toBeGreaterThan(90_000);
    const at = new Date(5);
    const [keyed] = await pack([{ at }], { key: { path: 'at' }, shards: 7 });
    expect(keyed).toMatchObject({ shard: shardOfKey(at.toJSON(), 7), parcel: { keys: [at.toJSON()] } });
  });
});

test('numbers past 2^53 are found as they were typed, not in texts, fractions or powers', () => {
  expect(inexactNumber('{"id": 9007199254740993, "b": 1}')).toBe('9007199254740993');
  expect(inexactNumber('[-90071992547409930]')).toBe('-90071992547409930');
  expect(inexactNumber('{"a": "1e999", "b": -1e400}')).toBe('-1e400');
  expect(inexactNumber('[1E+309]')).toBe('1E+309');
  for (const json of [
    '{"id": "9007199254740993"}',
    '"\\"9007199254740993"',
    '0.12345678901234567',
    '1e300',
    '"1e400"',
    '1e-400',
    '9007199254740991',
  ]) {
    expect([json, inexactNumber(json)]).toEqual([json, undefined]);
  }
});

describe('callers that share a sender', () => {
  /** Temporal, as it answers updates. */
  function sender(answer: (message: PushMessage) => Promise<unknown>) {
    const executeUpdate = (_: unknown, { args }: { args: [PushMessage[]] }) => {
      expect(args[0]).toHaveLength(1);
      return answer(args[0][0]!);
    };
    const client = { workflow: { getHandle: () => ({ executeUpdate }) } };
    const connections = { temporal: (request: (of: unknown) => unknown) => request(client) };
    return new ShardSender(connections as unknown as Connections, 'b', 0, 'update', () => Promise.resolve(false));
  }
  const parcel = (n: number, more: Partial<Parcel> = {}): Parcel => ({ entries: [n], bytes: 3, ...more });

  test('are told of their own message only, and of a refusal by its type', async () => {
    const full = Object.assign(new Error('refused'), { cause: { type: 'BufferFull', details: [10] } });
    let sentFirst: (() => void) | undefined;
    let endFirst: ((answer: unknown) => void) | undefined;
    const underWay = new Promise<void>((resolve) => (sentFirst = resolve));
    const one = sender(({ entries, front }) => {
      if (entries![0] === 0) {
        sentFirst!();
        return new Promise((resolve) => (endFirst = resolve));
      }
      return front ? Promise.resolve({ accepted: true }) : Promise.reject(full);
    });
    const first = one.send(parcel(0), Date.now() + 60_000);
    await underWay;
    const deadline = Date.now() + 400;
    // Side by side in the queue, they are two messages all the same.
    const sent = [one.send(parcel(1), deadline), one.send(parcel(2, { front: true }), Date.now() + 60_000)];
    endFirst!({ accepted: true });
    await first;
    const [back, front] = await Promise.allSettled(sent);
    expect(back).toMatchObject({ status: 'rejected', reason: { name: 'BufferFullError', accepted: false } });
    expect(front).toMatchObject({ status: 'fulfilled' });
  });

  test('have messages of their own where they go otherwise: to the front, not before a time, with keys', async () => {
    const said: PushMessage[] = [];
    let endFirst: ((answer: unknown) => void) | undefined;
    const one = sender((message) => {
      said.push(message);
      return said.length > 1 ? Promise.resolve({ accepted: true }) : new Promise((resolve) => (endFirst = resolve));
    });
    const deadline = Date.now() + 60_000;
    const first = one.send(parcel(0), deadline);
    const ways = [{}, {}, { at: 10 }, { at: 20 }, { front: true }, { keys: ['k'] }];
    const sent = ways.map((way, i) => one.send(parcel(i + 1, way), deadline));
    await new Promise(setImmediate);
    endFirst!({ accepted: true });
    await Promise.all([first, ...sent]);
    expect(said.slice(1).map(({ entries, front, at, keys }) => ({ entries, front, at, keys }))).toEqual([
      { entries: [1, 2] },
      { entries: [3], at: 10 },
      { entries: [4], at: 20 },
      { entries: [5], front: true },
      { entries: [6], keys: ['k'] },
    ]);
  });

  test('are told by their own deadline, who was not sent that it was not', async () => {
    let end: ((answer: unknown) => void) | undefined;
    const one = sender(() => new Promise((resolve) => (end = resolve)));
    const patient = one.send(parcel(1), Date.now() + 60_000);
    const impatient = one.send(parcel(2), Date.now() + 100);
    await expect(impatient).rejects.toMatchObject({ name: 'BufferFullError', accepted: false });
    end!({ accepted: true });
    await patient;
  });

  test('a stopped buffer is one, by the refusal of its shard', async () => {
    const stopped = Object.assign(new Error('refused'), { cause: { type: 'BufferStopped' } });
    const one = sender(() => Promise.reject(stopped));
    await expect(one.send(parcel(1), Date.now() + 60_000)).rejects.toMatchObject({ name: 'BufferStoppedError' });
  });
});
