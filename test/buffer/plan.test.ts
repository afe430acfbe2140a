/**
 * A shard's decisions through random histories: the law of the counts holds at every moment, and nothing is lost or
 * done twice.
 */
import fc from 'fast-check';
import { roomFor } from '../../workflows/buffer/init';
import { revive } from '../../workflows/buffer/dead-letters';
import { nextShardStep, type ShardMoment } from '../../workflows/buffer/plan';
import { countsOf, pendingOf, runningOf } from '../../workflows/buffer/queue';
import { takeBatch } from '../../workflows/buffer/next-batch';
import { acts, live } from './driven-histories';
import { DrivenShard } from './driven-shard';
import { OPTIONS } from './options';

test('any history: each entry is handled once or dead, and the counts hold at every moment', () => {
  let runs = 0;
  fc.assert(
    fc.property(acts, (history) => {
      const world = new DrivenShard(OPTIONS);
      const pushed = live(world, history, false);
      world.drain(() => 'done');
      const ends = [...world.handled, ...world.dead.values()].map(Number).sort((a, b) => a - b);
      expect(ends).toEqual(Array.from({ length: pushed }, (_, i) => i));
      expect(countsOf(world.state)).toMatchObject({ accepted: pushed, pending: 0, running: 0, merged: 0 });
      world.unreported = true;
      world.now += 3_000;
      world.work(false);
      expect(Object.keys(world.state.rows)).toEqual([]);
      runs += world.runs;
    }),
    { numRuns: 150 },
  );
  // Otherwise continue-as-new was not tried.
  expect(runs).toBeGreaterThan(50);
});

test('with keys: what is merged was pending, and the last entry of each key is handled', () => {
  let merged = 0;
  fc.assert(
    fc.property(acts, (history) => {
      const world = new DrivenShard({ ...OPTIONS, key: 'function', retry: { ...OPTIONS.retry, attempts: 1_000 } });
      const pushed = live(world, history, true);
      world.handled = [];
      world.push([0, 1, 2, 3, 4, 5, 6]);
      world.drain(() => 'done');
      const counts = countsOf(world.state);
      expect(counts).toMatchObject({ accepted: pushed + 7, pending: 0, running: 0, dead: 0 });
      expect(counts.done + counts.merged).toBe(pushed + 7);
      expect(new Set(world.handled)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
      merged += counts.merged;
    }),
    { numRuns: 150 },
  );
  expect(merged).toBeGreaterThan(100);
});

test('a batch with poison is halved until the culprits stand alone: only they die', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { maxLength: 4 }),
      (count, bad) => {
        const world = new DrivenShard({ ...OPTIONS, maxBatchSize: 40, historyEvents: 10_000 });
        world.push(Array.from({ length: count }, (_, i) => i));
        world.drain((entry) => (bad.includes(Number(entry)) ? 'poison' : 'done'));
        expect([...world.dead.values()].sort()).toEqual(bad.filter((one) => one < count).sort());
        expect(world.handled).toHaveLength(count - world.dead.size);
      },
    ),
  );
});

test('front goes before back, and each keeps its order', () => {
  const world = new DrivenShard({ ...OPTIONS, maxConcurrency: 1 });
  world.push([1, 2, 3, 4, 5, 6, 7]);
  world.push([101, 102], { front: true });
  world.push([103], { front: true });
  world.push([8, 9]);
  world.drain(() => 'done');
  expect(world.handled).toEqual([101, 102, 103, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('past the bound entries go to PostgreSQL and come back in order', () => {
  const world = new DrivenShard({ ...OPTIONS, maxConcurrency: 1 });
  const all = Array.from({ length: 500 }, (_, i) => i);
  for (let from = 0; from < 500; from += 10) {
    world.push(all.slice(from, from + 10));
    world.work(false);
  }
  expect(world.rows.size).toBeGreaterThan(10);
  world.drain(() => 'done');
  expect(world.handled).toEqual(all);
});

test('ordered: what comes again holds the others until it is done or dead', () => {
  const world = new DrivenShard({ ...OPTIONS, ordered: true });
  world.push([1, 2, 3, 4, 5, 6, 7]);
  world.now += 100;
  world.work(false);
  let tries = 0;
  while (pendingOf(world.state) + runningOf(world.state) > 0) {
    expect(Object.keys(world.state.running).length).toBeLessThanOrEqual(1);
    world.end('answer', (entry) => (entry === 3 && tries++ < 2 ? 'again' : 'done'));
    const until = world.work(false);
    if (until !== undefined) {
      world.now = until;
      world.work(false);
    }
  }
  expect(world.handled).toEqual([1, 2, 4, 5, 3, 6, 7]);
});

test('a batch too large is halved without an attempt, and the size that works is learned and grows again', () => {
  const world = new DrivenShard({
    ...OPTIONS,
    maxBatchSize: 100,
    historyEvents: 100_000,
    bound: { entries: 10_000, bytes: 1_000_000 },
  });
  const sizes: number[] = [];
  const feed = (limit: number): void => {
    world.push(Array.from({ length: 100 }, (_, i) => i));
    for (;;) {
      world.now += 100;
      world.work(false);
      const batch = Object.values(world.state.running)[0];
      if (!batch) return;
      sizes.push(batch.count);
      world.end(batch.count > limit ? 'tooLarge' : 'answer', () => 'done');
    }
  };
  feed(30);
  expect(world.state.learned!.size).toBeLessThanOrEqual(30);
  expect(countsOf(world.state)).toMatchObject({ done: 100, dead: 0 });
  expect(world.dead.size).toBe(0);
  for (let i = 0; i < 60; i++) feed(1_000);
  expect(world.state.learned).toBeNull();
});

test('dead letters come back or are dropped, and the counts follow', () => {
  const world = new DrivenShard(OPTIONS);
  world.push([1, 2, 3]);
  world.drain(() => 'poison');
  expect(countsOf(world.state)).toMatchObject({ accepted: 3, dead: 3, done: 0 });
  revive(world.state, world.index, { count: 2, bytes: 4, entries: [1, 2] }, { action: 'retry' });
  revive(world.state, world.index, { count: 1, bytes: 2 }, { action: 'drop' });
  world.check();
  world.drain(() => 'done');
  expect(countsOf(world.state)).toEqual({
    accepted: 3,
    done: 2,
    pending: 0,
    running: 0,
    dead: 0,
    merged: 0,
    dropped: 1,
  });
});

describe('what is told of a shard', () => {
  const world = () => new DrivenShard({ ...OPTIONS, maxConcurrency: 1, init: true });
  const next = (of: DrivenShard, changes: Partial<ShardMoment> = {}) =>
    nextShardStep(of.state, { ...of.moment(), ...changes });

  test('to its node at once, to PostgreSQL after a rest, and now and then', () => {
    const busy = world();
    busy.now = 100_000;
    busy.work(false);
    busy.push([1, 2, 3, 4, 5]);
    takeBatch(busy.state, busy.index, busy.now);
    const reported = { lastReportMs: busy.now - 3_000, believed: 5 };
    expect(next(busy, reported)).toEqual({ do: 'tell' });
    expect(next(busy, { ...reported, lastReportMs: busy.now - 10_000 })).toEqual({ do: 'report' });
    expect(next(busy, { ...reported, untold: false })).toEqual({ do: 'wait' });
    busy.end('answer', () => 'done');
    const told = { ...reported, untold: false, believed: 0 };
    expect(next(busy, { ...told, untold: true, restsSinceMs: busy.now })).toEqual({ do: 'tell' });
    // The last word of a shard at rest is one that cannot be lost. A moment's rest is between two batches, no more.
    expect(next(busy, { ...told, restsSinceMs: busy.now - 500 })).toEqual({ do: 'wait', untilMs: busy.now + 1_500 });
    expect(next(busy, { ...told, restsSinceMs: busy.now - 2_000 })).toEqual({ do: 'report' });
    expect(next(busy, { ...told, unreported: false, restsSinceMs: busy.now - 2_000 })).toEqual({ do: 'wait' });
    const soon = { ...told, restsSinceMs: busy.now - 2_000, lastReportMs: busy.now - 100 };
    expect(next(busy, soon)).toEqual({ do: 'wait', untilMs: busy.now + 1_900 });
  });

  test('to its parent: that it has room for another page, at once; that it is drained or is so no more, twice a second', () => {
    const shard = world();
    shard.now = 100_000;
    shard.push(Array.from({ length: 20 }, (_, i) => i));
    takeBatch(shard.state, shard.index, shard.now);
    const quiet = { untold: false, unreported: false, lastRoomMs: shard.now };
    const page = roomFor(shard.state.options);
    expect(next(shard, { ...quiet, believed: null })).toEqual({ do: 'tellRoom' });
    expect(next(shard, { ...quiet, believed: null, tellingRoom: true })).toEqual({ do: 'wait' });
    expect(next(shard, { ...quiet, believed: 20 + page - 1 })).toEqual({ do: 'wait' });
    expect(next(shard, { ...quiet, believed: 20 + page })).toEqual({ do: 'tellRoom' });
    // After the last page nobody waits for room.
    expect(next(shard, { ...quiet, believed: 20 + page, morePages: false })).toEqual({ do: 'wait' });
    expect(next(shard, { ...quiet, believed: 0 })).toEqual({ do: 'wait', untilMs: shard.now + 500 });
    expect(next(shard, { ...quiet, believed: 0, lastRoomMs: shard.now - 500 })).toEqual({ do: 'tellRoom' });
    shard.state.options.init = false;
    expect(next(shard, { ...quiet, believed: null })).toEqual({ do: 'wait' });
    const drained = world();
    drained.now = 100_000;
    const rest = { untold: false, unreported: false, believed: 5, morePages: false, lastRoomMs: 0 };
    expect(next(drained, { ...rest, restsSinceMs: 99_900 })).toEqual({ do: 'wait', untilMs: 100_400 });
    expect(next(drained, { ...rest, restsSinceMs: 99_500 })).toEqual({ do: 'tellRoom' });
  });
});
