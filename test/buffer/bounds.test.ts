/**
 * A shard at its limits: bytes are measured, not averaged or counted as characters, and what is sent and carried stays
 * below.
 */
import { carriedBytes, isWordy, marksBytes, slim } from '../../workflows/buffer/carry';
import { accept, pressureOf, readPush, refusalOf } from '../../workflows/buffer/intake';
import { indexKeys } from '../../workflows/buffer/keys';
import { isIn, lastSeq } from '../../workflows/buffer/marks';
import { settle } from '../../workflows/buffer/settle';
import { nextShardStep, type ShardMoment } from '../../workflows/buffer/plan';
import { countsOf, cutHead, freshShardState, inMemory, LANES, partsOf } from '../../workflows/buffer/queue';
import { beginStore } from '../../workflows/buffer/spill';
import { beginBury } from '../../workflows/buffer/dead-letters';
import { batchInput, takeBatch } from '../../workflows/buffer/next-batch';
import { jsonBytes } from '../../workflows/lib/size';
import { DrivenShard } from './driven-shard';
import { OPTIONS } from './options';
import type { Json } from '../../workflows/lib/json';
import { SHARD_TUNABLES } from '../../workflows/buffer/tunables';

const NOW = 1_000_000;
const shard = (more: object = {}) => {
  const state = freshShardState({ options: { ...OPTIONS, ...more }, paused: false, version: 1 }, null);
  const index = indexKeys(state);
  return { state, index, push: (entries: Json[], how: object = {}) => accept(state, index, { entries, ...how }, NOW) };
};
const quiet = (more: Partial<ShardMoment> = {}): ShardMoment => ({
  ...new DrivenShard(OPTIONS).moment(),
  nowMs: NOW,
  untold: false,
  unreported: false,
  ...more,
});

test('a big entry among small ones keeps its size when the run is cut, in whatever way', () => {
  const mixed = [...Array.from({ length: 599 }, () => 's'.repeat(98)), 'ж'.repeat(30_000)];
  const chunk = { first: 1, count: 600, bytes: jsonBytes(mixed), entries: mixed, since: 0 };
  const chunks = [chunk];
  const small = cutHead(chunks, 599);
  expect([small.bytes, chunks[0]!.bytes]).toEqual([jsonBytes(mixed.slice(0, 599)), jsonBytes(mixed.slice(599))]);
  expect(partsOf(chunk, 50_000).map(({ count, bytes }) => [count, bytes > 50_000])).toEqual([
    [495, false],
    [104, false],
    [1, true],
  ]);
});

test('sixty big entries that come again at once make several batches, and are counted as what they are', () => {
  const { state, index, push } = shard({
    maxBatchSize: 600,
    maxConcurrency: 100,
    bound: { entries: 50_000, bytes: 16_000_000 },
  });
  for (let i = 0; i < 60; i++) push(['b'.repeat(60_000), ...Array.from({ length: 599 }, () => 's'.repeat(98))]);
  const kept = [{ from: 0, count: 1, at: NOW }];
  for (let i = 0; i < 60; i++) {
    const { number, batch } = takeBatch(state, index, NOW);
    // The big ones are first in their run: each batch begins with one.
    settle(state, index, number, { kind: 'answered', kept, fresh: [], voided: 0 }, NOW);
    expect(batch.count).toBeGreaterThan(0);
  }
  const real = LANES.flatMap((lane) => state[lane].chunks).reduce((sum, { entries }) => sum + jsonBytes(entries), 0);
  expect(inMemory(state).bytes).toBe(real);
  expect(carriedBytes(state)).toBeGreaterThan(real);
  while (state.back.chunks.length > 0) {
    const { number } = takeBatch(state, index, NOW);
    expect(jsonBytes(batchInput(state, { buffer: 'b', shard: 0 }, number))).toBeLessThan(600_000);
  }
});

test('what is said to be small is measured: characters, escapes, whatever the sender counted', () => {
  const { state, push } = shard({ bound: { entries: 50_000, bytes: 16_000_000 } });
  for (const text of ['好'.repeat(300_000), '\u0001'.repeat(100_000), '"'.repeat(100_000)]) push([text], { bytes: 3 });
  expect(inMemory(state).bytes).toBe(900_002 + 2 + 600_002 + 2 + 200_002 + 2);
  expect(pressureOf(state)).toBe(0);
  state.outage = { failures: 1, untilMs: NOW + 1 };
  expect(pressureOf(state)).toBeGreaterThan(0);
  expect(refusalOf(state, [readPush([1])])).toEqual({ waitMs: 200 });
});

test('batches that begin in one task carry no more than it may, the rest goes with the next', () => {
  const { state, index, push } = shard({
    maxConcurrency: 100,
    maxBatchSize: 20_000,
    bound: { entries: 50_000, bytes: 16_000_000 },
  });
  state.flushBelow = 1e9;
  for (let i = 0; i < 40; i++) push(Array.from({ length: 100 }, () => '好'.repeat(400)));
  let taskBytes = 0;
  let batches = 0;
  for (; ; batches++) {
    const step = nextShardStep(state, quiet({ taskBytes }));
    if (step.do === 'wait') {
      expect(step.untilMs).toBe(NOW + 1);
      break;
    }
    expect(step).toEqual({ do: 'run' });
    taskBytes += takeBatch(state, index, NOW).bytes;
  }
  expect(batches).toBeGreaterThan(2);
  expect(taskBytes).toBeLessThan(SHARD_TUNABLES.taskBytes + 500_000);
  expect(nextShardStep(state, quiet({ taskBytes: 0 }))).toEqual({ do: 'run' });
});

test('an entry that fits into no command is dead at once, and named; the others of its message are not', () => {
  const { state, push } = shard({ bound: { entries: 50_000, bytes: 16_000_000 } });
  push([1, 'x'.repeat(SHARD_TUNABLES.entryBytes), 2]);
  expect(countsOf(state)).toMatchObject({ accepted: 3, pending: 3 });
  expect(state.burying).toMatchObject([
    { first: 2, count: 1, errors: [{ error: expect.stringContaining('an entry of') as string }] },
  ]);
  expect(state.back.chunks.flatMap(({ entries }) => entries)).toEqual([1, 2]);
});

test('stores, burials and what is carried count errors and marks, and the errors of what is buried shrink first', () => {
  const { state, index } = shard({ bound: { entries: 50_000, bytes: 10_000 } });
  const errors = Array.from({ length: 5 }, () => ({ at: NOW, error: 'ж'.repeat(500) }));
  const chunk = (first: number) => ({ first, count: 1, bytes: 3, entries: [1], since: 0, at: NOW, errors });
  for (let i = 0; i < 1_000; i++) {
    state.burying.push(chunk(i));
    state.later.overflow.push(chunk(2_000 + i));
  }
  expect(jsonBytes(beginBury(state).chunks)).toBeLessThan(460_000);
  expect(jsonBytes(beginStore(state, index, false, 'b.0').rows)).toBeLessThan(500_000);
  for (let i = 0; i < 500; i++) {
    state.senders[`s${i}`] = { upTo: 1, above: Array.from({ length: 1_000 }, (_, n) => 1_000_003 + 2 * n), seenAt: i };
  }
  expect(carriedBytes(state) + marksBytes(state)).toBeGreaterThan(jsonBytes(state));
  for (let i = 0; isWordy(state); i++) {
    slim(state);
    expect(i).toBeLessThan(10);
  }
  expect(carriedBytes(state) + marksBytes(state)).toBeLessThan(SHARD_TUNABLES.carryBytesAtMost);
  expect(jsonBytes(state)).toBeLessThan(SHARD_TUNABLES.carryBytesAtMost);
});

describe('a batch that takes long, when the run is to end', () => {
  const slow = (sinceMs: number, more: Partial<ShardMoment> = {}) => {
    const { state, index, push } = shard({ maxBatchSize: 1, maxConcurrency: 3 });
    push([1, 2, 3]);
    takeBatch(state, index, sinceMs);
    return nextShardStep(state, quiet({ historyEvents: 2_100, ...more }));
  };

  test('is waited for a moment, then the others go on beside it', () => {
    expect(slow(NOW)).toEqual({ do: 'wait', untilMs: NOW + 2_000 });
    expect(slow(NOW - 2_000)).toEqual({ do: 'run' });
    expect(slow(NOW - 2_000, { suggested: true, historyEvents: 3 })).toEqual({ do: 'run' });
  });

  test('is taken back before the server refuses more: events, bytes, updates', () => {
    for (const more of [{ historyEvents: 9_500 }, { historyBytes: 20_000_000 }, { updates: 1_900, suggested: true }]) {
      expect(slow(NOW - 60_000, more)).toEqual({ do: 'takeBack' });
    }
  });

  test('the suggestion of the server is heeded', () => {
    const { state } = shard();
    expect(nextShardStep(state, quiet({ suggested: true }))).toEqual({ do: 'continueAsNew' });
  });
});

describe('what is typed by hand', () => {
  test.each(['constructor', '__proto__', 'toString'])('has %s for a sender like any other name', (sender) => {
    const { state, push } = shard();
    expect([push([1], { sender, seq: 1 }), push([1], { sender, seq: 1 }), push([2], { sender, seq: 2 })]).toEqual([
      true,
      false,
      true,
    ]);
    expect(lastSeq(state, sender)).toBe(2);
    expect(isIn(JSON.parse(JSON.stringify(state)) as typeof state, { sender, seq: 2 })).toBe(true);
    expect(({} as { seenAt?: number }).seenAt).toBeUndefined();
  });

  test('cannot bring counts, sizes and times that are none', () => {
    expect(readPush({ row: { id: 'x', count: -5 } })).toEqual({ entries: [{ row: { id: 'x', count: -5 } }] });
    expect(readPush({ entries: [1], bytes: '12', at: 'x', front: 'yes', sender: 3, seq: 1.5 })).toEqual({
      entries: [1],
    });
    expect(readPush({ entries: [1], at: 1e300, bytes: -1 })).toEqual({ entries: [1] });
  });
});

test('a message that is in already is said to be in, also where there is no room or the buffer is stopped by now', () => {
  const { state, push } = shard({ capacity: 1 });
  push([1], { sender: 's', seq: 1 });
  const repeated = readPush({ sender: 's', seq: 1, entries: [1] });
  expect(refusalOf(state, [repeated])).toBeUndefined();
  expect(refusalOf(state, [readPush({ sender: 's', seq: 2, entries: [1] })])).toEqual({ waitMs: 200 });
});

test('a hold that is not a time is short, one of years a day, and resume lifts it', () => {
  for (const [asked, forMs] of [
    [null, 1_000],
    [-5, 1_000],
    ['5', 1_000],
    [1e300, 86_400_000],
    [70_000, 70_000],
  ] as const) {
    const { state, index, push } = shard();
    push([1]);
    const { number } = takeBatch(state, index, NOW);
    settle(state, index, number, { kind: 'held', error: '429', forMs: asked as number }, NOW);
    expect(state.holdUntil).toBe(NOW + forMs);
  }
});
