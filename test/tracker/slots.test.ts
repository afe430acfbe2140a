/**
 * The pools on the line of slots: each in one range, all of them together the whole line, and a split cuts one
 * range in two.
 */
import fc from 'fast-check';
import { poolOf } from '../../workflows/tracker/plan';
import { holds, slotOf, slotsOf, sourceOfSplit } from '../../workflows/tracker/slots';

const LINE = 2 ** 32;

test('a slot is the hash with its bits in the opposite order', () => {
  const reversed = (hash: number) => parseInt([...hash.toString(2).padStart(32, '0')].reverse().join(''), 2);
  fc.assert(fc.property(fc.nat(0xffffffff), (hash) => expect(slotOf(hash)).toBe(reversed(hash))));
  expect([0, 1, 2, 0x80000000, 0xffffffff].map(slotOf)).toEqual([0, 0x80000000, 0x40000000, 1, 0xffffffff]);
});

test('the pools of a layout share out the whole line, none has a slot twice', () => {
  for (const pools of [1, 2, 3, 4, 5, 7, 8, 9, 100, 199, 200, 1_023, 1_024, 1_025, 4_000]) {
    const ranges = Array.from({ length: pools }, (_, pool) => slotsOf(pool, pools)).sort((a, b) => a.first - b.first);
    let next = 0;
    for (const { first, last } of ranges) {
      expect(first).toBe(next);
      next = last + 1;
    }
    expect(next).toBe(LINE);
  }
});

test('an id lies in the range of the pool that linear hashing gives it, in layouts of any size', () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.integer({ min: 1, max: 2 ** 31 - 1 }), (hash, pools) => {
      expect(holds(slotsOf(poolOf(hash, pools), pools), slotOf(hash))).toBe(true);
    }),
    { numRuns: 5_000 },
  );
});

test('one pool more takes the upper half of one range; all others stay as they are', () => {
  for (let pools = 1; pools < 300; pools++) {
    const source = sourceOfSplit(pools);
    const before = slotsOf(source, pools);
    const middle = before.first + (before.last - before.first + 1) / 2;
    expect(slotsOf(source, pools + 1)).toEqual({ first: before.first, last: middle - 1 });
    expect(slotsOf(pools, pools + 1)).toEqual({ first: middle, last: before.last });
    const others = Array.from({ length: pools }, (_, pool) => pool).filter((pool) => pool !== source);
    expect(others.map((pool) => slotsOf(pool, pools + 1))).toEqual(others.map((pool) => slotsOf(pool, pools)));
  }
});

test('a pool that the layout does not have holds nothing', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5_000 }), fc.nat(5_000), fc.nat(0xffffffff), (pools, more, hash) => {
      expect(holds(slotsOf(pools + more, pools), slotOf(hash))).toBe(false);
    }),
  );
  expect(holds(slotsOf(0, 0), 0)).toBe(false);
});
