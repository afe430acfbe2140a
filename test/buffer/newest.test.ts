/**
 * Keys: what makes two entries one, and that the newer one wins, whatever overlaps. The rest of it is in the
 * simulation.
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { readAnswer } from '../../activities/buffer/answer';
import { retry } from '../../exports';
import { accept } from '../../workflows/buffer/intake';
import { indexKeys, keepableKey, keyAt, keyText } from '../../workflows/buffer/keys';
import { settle } from '../../workflows/buffer/settle';
import { revive } from '../../workflows/buffer/dead-letters';
import { countsOf, freshShardState } from '../../workflows/buffer/queue';
import { beginStore, undoStore, endStore } from '../../workflows/buffer/spill';
import { endFetch } from '../../workflows/buffer/fetch';
import { batchInput, takeBatch } from '../../workflows/buffer/next-batch';
import { sha256 } from '../../workflows/lib/sha256';
import { histories } from '../support/simulate';
import { OPTIONS } from './options';

const NOW = 1_000_000;

/** A shard with keys `id`, and what can be said to it. */
function shard(more: object = {}) {
  const options = { ...OPTIONS, key: { path: 'id' }, maxBatchSize: 1, maxConcurrency: 5, ...more };
  const state = freshShardState({ options, paused: false, version: 1 }, null);
  const index = indexKeys(state);
  const push = (v: number, id = 'a', how: object = {}) => accept(state, index, { entries: [{ id, v }], ...how }, NOW);
  const take = () => takeBatch(state, index, NOW);
  const store = (succeeds = true) => {
    const storing = beginStore(state, index, false, 'b.0');
    return () => (succeeds ? endStore(state, storing, [], NOW) : undoStore(state, index, storing, 'b.0'));
  };
  const again = (number: number) =>
    settle(
      state,
      index,
      number,
      { kind: 'answered', kept: [{ from: 0, count: 1, at: NOW + 9_000 }], fresh: [], voided: 0 },
      NOW,
    );
  const values = () =>
    (['front', 'back', 'later'] as const).flatMap((lane) =>
      [...state[lane].chunks, ...state[lane].overflow].flatMap(({ entries }) =>
        (entries ?? []).map((entry) => (entry as { v: number }).v),
      ),
    );
  return { state, index, push, take, store, again, values };
}

describe('a key', () => {
  test('of a number and of a text, and of any two texts, is never the same', () => {
    const values = [1, '1', '"1"', -0.5, '-0.5', '1e3', 1e3, '1000', '01', 'NaN', 'a', '"a', 'sha256:1', '', ' 1'];
    expect(new Set(values.map(keyText)).size).toBe(values.length);
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.double({ noNaN: true })),
        fc.oneof(fc.string(), fc.integer()),
        (one, other) => {
          const [a, b] = [keyText(one), keyText(other)];
          if (a !== null && b !== null && !Object.is(one, other) && !(one === 0 && other === 0)) expect(a).not.toBe(b);
        },
      ),
      histories(),
    );
  });

  test('of a number that may stand for its neighbours is none', () => {
    expect([2 ** 53, -(2 ** 53), 1e300, NaN, Infinity].map(keyText)).toEqual([null, null, null, null, null]);
    expect(keyText(2 ** 53 - 1)).toBe('9007199254740991');
    expect([keyText(null), keyText({}), keyText(undefined)]).toEqual([null, null, null]);
  });

  test('that is long, or has what no store keeps, is a hash, once', () => {
    for (const key of ['k'.repeat(201), 'ж'.repeat(101), 'a\0', '\ud800', '\udc00x']) {
      const kept = keepableKey(key);
      expect(kept).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(keepableKey(kept)).toBe(kept);
    }
    expect(keepableKey('k'.repeat(200))).toBe('k'.repeat(200));
    expect(keepableKey('\ud800')).not.toBe(keepableKey('\ud801'));
    expect(keyAt('__proto__')({})).toBeNull();
    expect(keyAt('a.toString.name')({ a: 1 })).toBeNull();
  });

  test("'s hash is SHA-256", () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => {
        expect(sha256(text)).toBe(createHash('sha256').update(text, 'utf8').digest('hex'));
      }),
      histories(),
    );
  });
});

test('what runs and comes again is passed by what came meanwhile, wherever that lies and whatever became of it', () => {
  const { state, push, take, store, again, values } = shard({ bound: { entries: 1, bytes: 100_000 } });
  push(1);
  const { number } = take();
  push(0, 'other');
  push(2);
  store()();
  // It would have been put off in memory, where v3 would have taken its place and been voided by the note of v2.
  again(number);
  expect(state.later.chunks).toEqual([]);
  push(3);
  expect(values()).toEqual([0, 3]);
  expect(countsOf(state)).toMatchObject({ accepted: 4, merged: 1, done: 0 });
});

test('what runs and comes again is passed by one that is done already', () => {
  const { state, index, push, take, again } = shard();
  push(1);
  const first = take();
  push(2);
  const second = take();
  settle(state, index, second.number, { kind: 'answered', kept: [], fresh: [], voided: 0 }, NOW);
  again(first.number);
  expect(countsOf(state)).toMatchObject({ done: 1, merged: 1, pending: 0 });
});

test('a value takes the place of another one, not its record, its lane or its time', () => {
  const { state, index, push, take, values } = shard();
  push(1);
  const { number } = take();
  settle(state, index, number, { kind: 'failed', error: 'no', tooLarge: false, final: false }, NOW);
  expect(state.later.chunks).toMatchObject([{ attempts: 1, limit: 1, errors: [{ error: 'no' }] }]);
  push(2);
  expect(state.later.chunks).toEqual([]);
  expect(state.back.chunks).toEqual([
    { first: 2, count: 1, bytes: 18, entries: [{ id: 'a', v: 2 }], keys: ['a'], since: NOW },
  ]);
  push(3, 'a', { front: true });
  expect(state.back.chunks).toEqual([]);
  expect(state.front.chunks).toMatchObject([{ entries: [{ v: 3 }] }]);
  push(4, 'a', { front: true });
  expect(state.front.chunks).toMatchObject([{ first: 3, entries: [{ v: 4 }] }]);
  expect(values()).toEqual([4]);
  expect(countsOf(state)).toMatchObject({ accepted: 4, merged: 3, pending: 1 });
});

test('a store that fails gives nothing back that a newer one has passed', () => {
  const { state, push, store, values } = shard({ bound: { entries: 5, bytes: 100_000 } });
  push(1);
  state.shrunk = true;
  state.back.chunks[0]!.bytes = 40_000;
  const ends = store(false);
  expect(state.back.chunks[0]).toMatchObject({ storing: true });
  push(2);
  ends();
  expect(values()).toEqual([2]);
  expect(countsOf(state)).toMatchObject({ accepted: 2, merged: 1, pending: 1 });
});

test('a value is not put into the place of one that a stored row may have passed', () => {
  const { state, index, push, store, values } = shard();
  push(1);
  // A large one, of which the shard knows its row only.
  accept(state, index, { row: { id: 'sent', count: 1 }, bytes: 100_000 }, NOW);
  store()();
  push(3);
  // As number 1 it would be voided by the row's note of 2.
  expect(state.back.overflow).toMatchObject([{ first: 3, entries: [{ v: 3 }] }]);
  expect(values()).toEqual([3]);
});

test('a dead letter that comes back is as old as it was: what has come of its key since wins', () => {
  const { state, index, push, take, values } = shard();
  state.counts.dead = 3;
  state.counts.accepted = 3;
  state.nextEntry = 10;
  const back = (id: string, age: number) =>
    revive(
      state,
      index,
      { count: 1, bytes: 9, entries: [{ id, v: age }], keys: [id], ages: [age] },
      { action: 'retry' },
    );
  push(20, 'a');
  back('a', 4);
  expect(values()).toEqual([20]);
  take();
  back('a', 5);
  expect(values()).toEqual([]);
  back('b', 6);
  expect(state.back.chunks).toMatchObject([{ first: 13, ages: [6] }]);
  // And what is pushed after it is newer again.
  push(21, 'b');
  expect(values()).toEqual([21]);
  expect(countsOf(state)).toMatchObject({ accepted: 5, merged: 3, dead: 0, pending: 1, running: 1 });
  expect(batchInput(state, { buffer: 'b', shard: 0 }, 1).chunks).toHaveLength(1);
});

test('what is changed in place keeps its key, the new one', () => {
  const { state, index, push, take } = shard();
  push(1);
  const { number } = take();
  const kept = [{ from: 0, count: 1, at: NOW + 5, entries: [{ id: 'b', v: 1 }], bytes: 20, keys: ['b'] }];
  settle(state, index, number, { kind: 'answered', kept, fresh: [], voided: 0 }, NOW);
  expect(state.later.chunks).toMatchObject([{ first: 1, keys: ['b'], bytes: 18 }]);
  push(2, 'b');
  expect(countsOf(state)).toMatchObject({ accepted: 2, merged: 1, pending: 1 });
});

describe('an answer that names an entry twice', () => {
  const entries = [{ id: 1 }, { id: 2 }, { id: 3 }];
  const given = (keyed = false) => ({
    entries,
    positions: [0, 1, 2],
    before: JSON.stringify(entries),
    keyOf: keyed ? keyAt('id') : undefined,
    keys: undefined,
  });

  test("means it once: what was said first holds, and 'all' are the others", () => {
    const [first] = entries;
    const { kept, fresh } = readAnswer([retry([first!]), retry(undefined as never, { after: '5s' })], given(), NOW);
    expect(fresh).toEqual([]);
    expect(kept).toEqual([
      { from: 0, count: 1 },
      { from: 1, count: 2, at: NOW + 5_000 },
    ]);
    expect(readAnswer([retry([first!, first!])], given(true), NOW)).toMatchObject({
      kept: [{ from: 0, count: 1 }],
      fresh: [],
    });
  });

  test('with two values of its key is one of them again, and the other one new', () => {
    const two = [
      { id: 1, v: 1 },
      { id: 1, v: 2 },
    ];
    const { kept, fresh } = readAnswer([retry(two)], given(true), NOW);
    expect(kept).toMatchObject([{ from: 0, count: 1, entries: [two[0]] }]);
    expect(fresh).toEqual([{ entries: [two[1]] }]);
  });

  test('is told that a time past all times is none', () => {
    expect(() => readAnswer(retry([entries[0]!], { after: 1e300 }), given(), NOW)).toThrow('must be a duration');
  });
});

test('rows that were put off while others were fetched are fetched too', () => {
  const { state, push, store } = shard({ bound: { entries: 5, bytes: 100_000 } });
  const { stored: behind } = state.later;
  Object.assign(behind, { from: 3, to: 10, entries: 1, bytes: 5 });
  state.laterDue = NOW;
  const { to } = behind;
  state.nextRow = 11;
  push(1, 'x', { at: NOW + 7_000 });
  store()();
  expect(state.later.stored).toMatchObject({ to: 11, entries: 2 });
  endFetch(
    state,
    'later',
    { chunks: [{ first: 1, count: 1, bytes: 5, row: 'r', since: 0 }], next: 4, laterDue: null },
    to,
    NOW,
  );
  expect(state.later.stored.entries).toBe(1);
  expect(state.laterDue).toBe(NOW);
});

test('stored rows that are gone are dead letters, and are not looked for again', () => {
  const { state } = shard();
  Object.assign(state.back.stored, { from: 5, to: 9, entries: 30, bytes: 100 });
  state.counts.accepted = 30;
  state.nextEntry = 31;
  const chunk = { first: 7, count: 10, bytes: 40, row: 'r', since: 0 };
  endFetch(state, 'back', { chunks: [chunk], next: 6, laterDue: null }, 9, NOW);
  expect(state.back.stored).toMatchObject({ entries: 0, bytes: 0 });
  expect(state.burying).toMatchObject([
    { first: 31, count: 20, errors: [{ error: '20 stored entries (back) are gone from PostgreSQL' }] },
  ]);
  expect(countsOf(state)).toMatchObject({ accepted: 30, pending: 30 });
});
