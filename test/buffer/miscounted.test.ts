/**
 * A row that is told of with a wrong count, by whoever types it into a signal: the sums hold, and its entries are what
 * they are.
 */
import { accept, readPush } from '../../workflows/buffer/intake';
import { indexKeys } from '../../workflows/buffer/keys';
import { countsOf, entriesOf, freshShardState } from '../../workflows/buffer/queue';
import { beginStore, endStore } from '../../workflows/buffer/spill';
import { beginBury } from '../../workflows/buffer/dead-letters';
import { OPTIONS } from './options';

const NOW = 1_000_000;

function told(count: number, really: number) {
  const state = freshShardState({ options: OPTIONS, paused: false, version: 1 }, null);
  const index = indexKeys(state);
  accept(state, index, readPush({ row: { id: 'r', count } }), NOW);
  accept(state, index, { entries: [1] }, NOW);
  const store = (count?: number) => {
    const storing = beginStore(state, index, false, 'b.0');
    const refused = count === undefined ? [] : [{ id: 'r', error: 'miscounted', count }];
    endStore(state, storing, refused, NOW);
    return storing.rows.map(({ id, chunk }) => [id, chunk.first, chunk.count]);
  };
  store(really);
  return { state, store };
}

test.each([
  ['more', 1_000, 3, 1],
  ['fewer', 2, 5, 4],
])('where it was said to have %s, it has what it has, and numbers that nobody else has', (_, count, really, first) => {
  const { state, store } = told(count, really);
  expect(countsOf(state)).toMatchObject({ accepted: really + 1, pending: really + 1 });
  expect(store()[0]).toEqual(['r', first, really]);
  const chunks = [...state.back.chunks].sort((a, b) => a.first - b.first);
  expect(entriesOf(chunks)).toBe(really + 1);
  for (const [i, { first: next }] of chunks.slice(1).entries()) {
    expect(next).toBeGreaterThanOrEqual(chunks[i]!.first + chunks[i]!.count);
  }
});

test('a row without entries is nothing', () => {
  expect(countsOf(told(5, 0).state)).toMatchObject({ accepted: 1, pending: 1 });
});

test('what no row can have is an entry, as anything else that is typed', () => {
  for (const count of [1e15, 1_000_001, 0, -1, 1.5]) {
    expect(readPush({ row: { id: 'r', count } })).toEqual({ entries: [{ row: { id: 'r', count } }] });
  }
});

test('of a large row that is gone, letters are written a few at a time', () => {
  const { state } = told(5, 5);
  state.burying = [{ first: 1, count: 900_000, bytes: 5, row: 'r', from: 0, since: 0 }];
  const { chunks } = beginBury(state);
  expect(entriesOf(chunks)).toBeLessThanOrEqual(2_000);
  expect(entriesOf(state.burying)).toBe(900_000);
});
