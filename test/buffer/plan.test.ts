/** A shard's decisions through random histories: the law of the counts holds at every moment, and nothing is lost or done twice. */
import fc from 'fast-check';
import type { BatchResult, Chunk, Json, Kept, ShardState, StoreRow } from '../../workflows/buffer/contract';
import { accept, indexKeys, type KeyIndex } from '../../workflows/buffer/intake';
import type { BufferOptions } from '../../workflows/buffer/options';
import { batchInput, buried, moveDue, revive, settle, takeBatch } from '../../workflows/buffer/outcome';
import {
  beginStore,
  CARRY_BYTES,
  fetched,
  nextShardStep,
  notStored,
  stored,
  type ShardMoment,
  type Storing,
} from '../../workflows/buffer/plan';
import { carriedBytes, countsOf, freshShardState, pendingOf, runningOf, waitingOf } from '../../workflows/buffer/queue';

export const OPTIONS: BufferOptions = {
  maxBatchSize: 5,
  flushIntervalMs: 50,
  maxConcurrency: 2,
  timeoutMs: 1_000,
  heartbeatTimeoutMs: 1_000,
  pollMs: null,
  bound: { entries: 20, bytes: 100_000 },
  capacity: 1_000_000,
  retry: { attempts: 3, baseMs: 10, capMs: 100 },
  ordered: false,
  shards: 1,
  historyEvents: 60,
  init: false,
  key: null,
  state: null,
};

interface Row {
  lane: string;
  place: number | null;
  chunk: Chunk;
  entries: Json[];
  keys: (string | null)[] | undefined;
  token?: number;
}

/** The world around a shard: PostgreSQL, the handlers, and Temporal, which carries its state. */
class World {
  state: ShardState;
  index: KeyIndex;
  now = 1_000;
  events = 0;
  changed = true;
  lastReportMs = 0;
  lastRoomMs = 0;
  believed: number | null = null;
  storeNotBeforeMs = 0;
  storing: Storing | undefined;
  burying: number | undefined;
  reviving = false;
  rows = new Map<string, Row>();
  dead = new Map<number, Json>();
  handled: Json[] = [];
  /** The newest stored entry of each key. */
  keys = new Map<string, number>();
  runs = 0;

  constructor(readonly options: BufferOptions) {
    this.state = freshShardState({ options, paused: false, version: 1 }, null);
    this.index = indexKeys(this.state);
  }

  push(entries: Json[], extra: object = {}): void {
    const keys = this.options.key ? { keys: entries.map((entry) => JSON.stringify(entry)) } : {};
    accept(this.state, this.index, { entries, bytes: entries.length * 8, ...keys, ...extra }, this.now);
    this.events++;
    this.changed = true;
    this.check();
  }

  check(): void {
    const { accepted, done, pending, running, dead, merged, dropped } = countsOf(this.state);
    expect(accepted).toBe(done + pending + running + dead + merged + dropped);
    for (const lane of [this.state.front, this.state.back, this.state.later]) {
      expect(lane.stored.entries).toBeGreaterThanOrEqual(0);
    }
    expect(dead).toBeGreaterThanOrEqual(0);
  }

  moment(): ShardMoment {
    return {
      nowMs: this.now,
      storing: this.storing !== undefined,
      fetching: false,
      burying: this.burying !== undefined,
      reviving: this.reviving,
      reporting: false,
      changed: this.changed,
      lastReportMs: this.lastReportMs,
      tellingRoom: false,
      believed: this.believed,
      lastRoomMs: this.lastRoomMs,
      storeNotBeforeMs: this.storeNotBeforeMs,
      handlersBusy: false,
      historyEvents: this.events,
      historyBytes: 0,
      takingBack: false,
    };
  }

  /** Carries out steps until the shard waits; batches stay running until `end` ends them. */
  work(storeFails: boolean): number | undefined {
    for (let i = 0; i < 10_000; i++) {
      moveDue(this.state, this.index, this.now);
      const step = nextShardStep(this.state, this.moment());
      this.events++;
      switch (step.do) {
        case 'run': {
          const { number } = takeBatch(this.state, this.index, this.now);
          // What goes through Temporal is a copy.
          JSON.parse(JSON.stringify(batchInput(this.state, { buffer: 'b', shard: 0 }, number, true)));
          break;
        }
        case 'store': {
          const storing = beginStore(this.state, this.index, this.events >= this.options.historyEvents, 'b.0');
          if (storing.rows.length === 0) throw new Error('nothing to store');
          if (storeFails) {
            notStored(this.state, this.index, storing);
            this.storeNotBeforeMs = this.now + 1_000;
          } else {
            this.write(storing.rows);
            stored(this.state, storing);
          }
          break;
        }
        case 'fetch': {
          const { from, to } = this.state[step.lane].stored;
          fetched(this.state, step.lane, this.fetch(step.lane, from, to));
          break;
        }
        case 'bury':
          for (const chunk of this.state.burying.slice(0, step.count)) {
            this.entriesOf(chunk).forEach((entry, k) => this.dead.set(chunk.first + k, entry));
          }
          buried(this.state, step.count);
          break;
        case 'tell':
          this.changed = false;
          break;
        case 'tellRoom':
          this.lastRoomMs = this.now;
          this.believed = waitingOf(this.state);
          break;
        case 'report':
          this.changed = false;
          this.lastReportMs = this.now;
          for (const id of this.state.forget.splice(0)) this.rows.delete(id);
          break;
        case 'continueAsNew':
          expect(carriedBytes(this.state)).toBeLessThanOrEqual(CARRY_BYTES);
          this.state = JSON.parse(JSON.stringify({ ...this.state, runs: this.state.runs + 1 })) as ShardState;
          this.index = indexKeys(this.state);
          this.events = 0;
          this.runs++;
          break;
        case 'wait':
          return step.untilMs;
        default:
          throw new Error(`not expected: ${step.do}`);
      }
      this.check();
    }
    throw new Error('it does not come to rest');
  }

  write(rows: StoreRow[]): void {
    for (const { id, lane, place, chunk } of rows) {
      const before = this.rows.get(id);
      if (before && chunk.entries) continue;
      const entries = chunk.entries ?? before!.entries;
      this.rows.set(id, { lane, place, chunk: { ...chunk }, entries: [...entries], keys: chunk.keys ?? before?.keys });
      (chunk.keys ?? before?.keys)?.forEach((key, i) => {
        if (key !== null) this.keys.set(key, Math.max(this.keys.get(key) ?? 0, chunk.first + i));
      });
    }
  }

  fetch(lane: string, from: number, to: number) {
    const later = lane === 'later';
    const found = [...this.rows.entries()]
      .filter(([, row]) => row.lane === lane && row.place !== null && row.place <= to)
      .filter(([, row]) => (later ? row.token === undefined && row.chunk.at! <= this.now : row.place! >= from))
      .sort(([, a], [, b]) => (later ? a.chunk.at! - b.chunk.at! : 0) || a.place! - b.place!)
      .slice(0, 3);
    for (const [, row] of found) if (later) row.token = from;
    const dues = [...this.rows.values()].filter(
      (row) => row.lane === 'later' && row.place !== null && row.token === undefined,
    );
    return {
      chunks: found.map(([id, { chunk }]) => {
        const { first, count, bytes, attempts, failed, limit, errors, at } = chunk;
        return { first, count, bytes, attempts, failed, limit, errors, at, since: 0, row: id, from: 0 };
      }),
      next: later ? from + 1 : (found.at(-1)?.[1].place ?? from - 1) + 1,
      laterDue: dues.length === 0 ? null : Math.min(...dues.map((row) => row.chunk.at!)),
    };
  }

  entriesOf(chunk: Chunk): Json[] {
    if (chunk.entries) return chunk.entries;
    const row = this.rows.get(chunk.row!);
    if (!row) throw new Error(`row ${chunk.row} is gone`);
    return row.entries.slice(chunk.from ?? 0, (chunk.from ?? 0) + chunk.count);
  }

  keysOf(chunk: Chunk): (string | null)[] | undefined {
    if (chunk.entries) return chunk.keys;
    return this.rows.get(chunk.row!)!.keys?.slice(chunk.from ?? 0, (chunk.from ?? 0) + chunk.count);
  }

  /** Ends the oldest running batch in some way. `verdict` says what happens to each entry. */
  end(
    how: 'answer' | 'crash' | 'held' | 'tooLarge',
    verdict: (entry: Json) => 'done' | 'again' | 'off' | 'poison',
  ): void {
    const number = Object.keys(this.state.running)[0];
    if (number === undefined) return;
    const batch = this.state.running[number]!;
    expect(batch.count).toBeLessThanOrEqual(this.options.maxBatchSize);
    const entries = batch.chunks.flatMap((chunk) => this.entriesOf(chunk));
    const numbers = batch.chunks.flatMap((chunk) => Array.from({ length: chunk.count }, (_, i) => chunk.first + i));
    const keys = batch.chunks.flatMap((chunk) => this.keysOf(chunk) ?? Array<null>(chunk.count).fill(null));
    expect(entries).toHaveLength(batch.count);
    let outcome: BatchResult['outcome'];
    if (how === 'crash') outcome = { kind: 'failed', error: 'crash', tooLarge: false, final: false };
    else if (how === 'tooLarge') outcome = { kind: 'failed', error: '413', tooLarge: true, final: false };
    else if (how === 'held') outcome = { kind: 'held', error: '429', forMs: 20 };
    else {
      const live = entries.map((_, i) => keys[i] === null || (this.keys.get(keys[i]!) ?? 0) <= numbers[i]!);
      if (entries.some((entry, i) => live[i] && verdict(entry) === 'poison')) {
        outcome = { kind: 'failed', error: 'poison', tooLarge: false, final: false };
      } else {
        const kept: Kept[] = [];
        entries.forEach((entry, i) => {
          const what = live[i] ? verdict(entry) : 'void';
          if (what === 'done') this.handled.push(entry);
          if (what === 'again') kept.push({ from: i, count: 1 });
          if (what === 'off') kept.push({ from: i, count: 1, at: this.now + 30 });
        });
        outcome = { kind: 'answered', kept, fresh: [], voided: live.filter((one) => !one).length };
      }
    }
    settle(this.state, this.index, Number(number), outcome, this.now);
    // A result that comes twice counts once.
    settle(this.state, this.index, Number(number), outcome, this.now);
    this.changed = true;
    this.check();
  }

  /** Lets everything come to its end. */
  drain(verdict: (entry: Json) => 'done' | 'poison'): void {
    for (let i = 0; i < 5_000; i++) {
      const until = this.work(false);
      if (runningOf(this.state) > 0) this.end('answer', verdict);
      else if (pendingOf(this.state) === 0) return;
      else if (until === undefined) throw new Error('it waits for nothing');
      else this.now = Math.max(this.now + 1, until);
    }
    throw new Error('it does not drain');
  }
}

type Act =
  | { act: 'push'; count: number; front: boolean; off: boolean }
  | { act: 'repeat' }
  | { act: 'end'; how: 'answer' | 'crash' | 'held' | 'tooLarge'; again: number }
  | { act: 'time'; ms: number }
  | { act: 'outage'; on: boolean }
  | { act: 'memory'; shrink: boolean }
  | { act: 'flush' };

const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        act: fc.constant('push' as const),
        count: fc.integer({ min: 0, max: 12 }),
        front: fc.boolean(),
        off: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('repeat' as const) }) },
    {
      weight: 6,
      arbitrary: fc.record({
        act: fc.constant('end' as const),
        how: fc.constantFrom(
          'answer' as const,
          'answer' as const,
          'answer' as const,
          'crash' as const,
          'held' as const,
          'tooLarge' as const,
        ),
        again: fc.integer({ min: 2, max: 9 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ act: fc.constant('time' as const), ms: fc.integer({ min: 1, max: 120 }) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('outage' as const), on: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('memory' as const), shrink: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('flush' as const) }) },
  ),
  { maxLength: 120, size: 'max' },
);

function live(world: World, history: Act[], sameKeys: boolean): number {
  let next = 0;
  let seq = 0;
  let outage = false;
  let last: Parameters<World['push']> | undefined;
  for (const one of history) {
    switch (one.act) {
      case 'push': {
        const entries = Array.from({ length: one.count }, () => (sameKeys ? next++ % 7 : next++));
        last = [
          entries,
          {
            sender: 's',
            seq: ++seq,
            ...(one.front ? { front: true } : {}),
            ...(one.off ? { at: world.now + 40 } : {}),
          },
        ];
        world.push(...last);
        break;
      }
      case 'repeat':
        if (last) world.push(...last);
        break;
      case 'end':
        world.end(one.how, (entry) =>
          Number(entry) % one.again === 1 ? 'again' : Number(entry) % one.again === 0 ? 'off' : 'done',
        );
        break;
      case 'time':
        world.now += one.ms;
        break;
      case 'outage':
        outage = one.on;
        break;
      case 'memory':
        world.state.shrunk = one.shrink;
        break;
      case 'flush':
        world.state.flushBelow = world.state.nextEntry;
        break;
    }
    world.work(outage);
  }
  return next;
}

test('any history: each entry is handled once or dead, and the counts hold at every moment', () => {
  let runs = 0;
  fc.assert(
    fc.property(acts, (history) => {
      const world = new World(OPTIONS);
      const pushed = live(world, history, false);
      world.drain(() => 'done');
      const ends = [...world.handled, ...world.dead.values()].map(Number).sort((a, b) => a - b);
      expect(ends).toEqual(Array.from({ length: pushed }, (_, i) => i));
      expect(countsOf(world.state)).toMatchObject({ accepted: pushed, pending: 0, running: 0, merged: 0 });
      world.changed = true;
      world.now += 1_000;
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
      const world = new World({ ...OPTIONS, key: 'function', retry: { ...OPTIONS.retry, attempts: 1_000 } });
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
        const world = new World({ ...OPTIONS, maxBatchSize: 40, historyEvents: 10_000 });
        world.push(Array.from({ length: count }, (_, i) => i));
        world.drain((entry) => (bad.includes(Number(entry)) ? 'poison' : 'done'));
        expect([...world.dead.values()].sort()).toEqual(bad.filter((one) => one < count).sort());
        expect(world.handled).toHaveLength(count - world.dead.size);
      },
    ),
  );
});

test('front goes before back, and each keeps its order', () => {
  const world = new World({ ...OPTIONS, maxConcurrency: 1 });
  world.push([1, 2, 3, 4, 5, 6, 7]);
  world.push([101, 102], { front: true });
  world.push([103], { front: true });
  world.push([8, 9]);
  world.drain(() => 'done');
  expect(world.handled).toEqual([101, 102, 103, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('past the bound entries go to PostgreSQL and come back in order', () => {
  const world = new World({ ...OPTIONS, maxConcurrency: 1 });
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
  const world = new World({ ...OPTIONS, ordered: true });
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
  const world = new World({
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
  const world = new World(OPTIONS);
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
  const world = () => new World({ ...OPTIONS, maxConcurrency: 1, init: true });
  const next = (of: World, changes: Partial<ShardMoment> = {}) =>
    nextShardStep(of.state, { ...of.moment(), ...changes });

  test('to its node while batches run, to PostgreSQL when none does, and now and then', () => {
    const busy = world();
    busy.now = 100_000;
    busy.work(false);
    busy.push([1, 2, 3, 4, 5]);
    takeBatch(busy.state, busy.index, busy.now);
    const reported = { lastReportMs: busy.now - 2_000, believed: 5 };
    expect(next(busy, reported)).toEqual({ do: 'tell' });
    expect(next(busy, { ...reported, lastReportMs: busy.now - 5_000 })).toEqual({ do: 'report' });
    expect(next(busy, { ...reported, changed: false })).toEqual({ do: 'wait' });
    busy.end('answer', () => 'done');
    // The last word of a shard at rest is one that cannot be lost.
    expect(next(busy, { ...reported, changed: true, believed: 0 })).toEqual({ do: 'report' });
    const soon = { ...reported, changed: true, believed: 0, lastReportMs: busy.now - 100 };
    expect(next(busy, soon)).toEqual({ do: 'wait', untilMs: busy.now + 400 });
  });

  test('to its parent: that two of four pages were taken, at once; that it is drained or is so no more, twice a second', () => {
    const shard = world();
    shard.now = 100_000;
    shard.push(Array.from({ length: 20 }, (_, i) => i));
    takeBatch(shard.state, shard.index, shard.now);
    const quiet = { changed: false, lastRoomMs: shard.now };
    expect(next(shard, { ...quiet, believed: null })).toEqual({ do: 'tellRoom' });
    expect(next(shard, { ...quiet, believed: null, tellingRoom: true })).toEqual({ do: 'wait' });
    expect(next(shard, { ...quiet, believed: 29 })).toEqual({ do: 'wait' });
    expect(next(shard, { ...quiet, believed: 30 })).toEqual({ do: 'tellRoom' });
    expect(next(shard, { ...quiet, believed: 0 })).toEqual({ do: 'wait', untilMs: shard.now + 500 });
    expect(next(shard, { ...quiet, believed: 0, lastRoomMs: shard.now - 500 })).toEqual({ do: 'tellRoom' });
    shard.state.options.init = false;
    expect(next(shard, { ...quiet, believed: null })).toEqual({ do: 'wait' });
  });
});
