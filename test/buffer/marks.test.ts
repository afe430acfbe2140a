/**
 * Messages that come late, twice and out of turn: none is lost, and a repeat is taken in once, as far as gaps are
 * remembered.
 */
import { slim } from '../../workflows/buffer/carry';
import { accept } from '../../workflows/buffer/intake';
import { indexKeys } from '../../workflows/buffer/keys';
import { isIn, lastSeq } from '../../workflows/buffer/marks';
import { freshShardState } from '../../workflows/buffer/queue';
import { jsonBytes } from '../../workflows/lib/size';
import { OPTIONS } from './options';

function shard() {
  const state = freshShardState({ options: OPTIONS, paused: false, version: 1 }, null);
  const index = indexKeys(state);
  const push = (sender: string, seq: number) => accept(state, index, { sender, seq, entries: [seq] }, 1);
  return { state, push };
}

test('a message that comes after ten thousand later ones is taken in, and each of them once', () => {
  const { state, push } = shard();
  for (let seq = 1; seq <= 10_010; seq++) if (seq < 5 || seq > 9) push('feed', seq);
  expect(state.senders.feed).toMatchObject({ upTo: 4, above: [[10, 10_010]] });
  // The patrol tells what a node could not tell, while newer ones go on.
  expect([9, 5, 7, 8].map((seq) => push('feed', seq))).toEqual([true, true, true, true]);
  expect([9, 5, 7, 10, 9_000, 10_010, 4].some((seq) => push('feed', seq))).toBe(false);
  expect([push('feed', 6), push('feed', 6)]).toEqual([true, false]);
  expect(state.senders.feed).toMatchObject({ upTo: 10_010, above: [] });
  expect(state.counts.accepted).toBe(10_010);
});

test('random orders with repeats: each number is taken in once, whatever the order', () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 48_271) % 2_147_483_647) % n;
  for (let history = 0; history < 50; history++) {
    const { state, push } = shard();
    const taken = new Set<number>();
    for (let i = 0; i < 400; i++) {
      const seq = 1 + random(120);
      expect(isIn(state, { sender: 's', seq })).toBe(taken.has(seq));
      expect(push('s', seq)).toBe(!taken.has(seq));
      taken.add(seq);
      expect(lastSeq(state, 's')).toBe(Math.max(...taken));
    }
  }
});

test('with more gaps than are remembered, or than may be carried, what has not come is still taken in', () => {
  const { state, push } = shard();
  for (let s = 0; s < 300; s++) for (let i = 1; i <= 60; i++) push(`sender ${s}`, 1_000_000 + 2 * i);
  expect(jsonBytes(state.senders)).toBeGreaterThan(150_000);
  slim(state);
  expect(jsonBytes(state.senders)).toBeLessThan(150_000);
  expect(push('sender 7', 1_000_003)).toBe(true);
  expect(push('sender 7', 1_000_120)).toBe(false);
  for (let i = 1; i <= 1_200; i++) push('wild', 2 * i);
  expect(state.senders.wild!.above).toHaveLength(1_000);
  expect(push('wild', 1)).toBe(true);
});

test('whoever numbers from 0, and marks of a version before this one, are understood', () => {
  const { state, push } = shard();
  expect([push('by hand', 0), push('by hand', 0), push('by hand', 1)]).toEqual([true, false, true]);
  state.senders.old = { upTo: 3, above: [7, 5, 8], seenAt: 1 };
  expect([7, 5, 8, 3].some((seq) => push('old', seq))).toBe(false);
  expect([push('old', 4), push('old', 6)]).toEqual([true, true]);
  expect(state.senders.old).toMatchObject({ upTo: 8, above: [] });
});
