/** The pools that a node keeps: their sums are those of what is there, whatever came, grew and went. */
import fc from 'fast-check';
import { KeptPools } from '../../../activities/tracker/placement/kept';
import type { PlacedPool } from '../../../activities/tracker/placement/types';
import { histories } from '../../support/simulate';

const steps = fc.array(
  fc.record({
    at: fc.nat({ max: 7 }),
    kind: fc.constantFrom('eve', 'game'),
    // Sums of such are not exact: what is taken off is not what was added.
    size: fc.oneof(fc.constantFrom(100, 0.1, 0.3), fc.double({ min: 0.1, max: 1e9, noNaN: true })),
    goes: fc.nat({ max: 2 }).map((n) => n === 0),
  }),
  { maxLength: 40 },
);

test('the sums are those of the pools that are there, to the last digit, and one that was read stays as it was', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const kept = new KeptPools();
      const there = new Map<string, PlacedPool>();
      for (const { at, kind, size, goes } of all) {
        const before = kept.totals();
        const copy = structuredClone(before);
        const pool = { id: `p/${at}`, kind, size, members: 1 };
        there.delete(pool.id);
        if (goes) kept.delete(pool.id);
        else {
          kept.set(pool);
          there.set(pool.id, pool);
        }
        expect(before).toEqual(copy);
        expect(kept.totals()).toEqual(sumsOf([...there.values()]));
        expect(new Set(kept.pools.values())).toEqual(new Set(there.values()));
        expect(kept.has(pool.id)).toBe(!goes);
      }
    }),
    histories(200),
  );
});

function sumsOf(pools: readonly PlacedPool[]) {
  const loads = new Map<string, number>();
  let load = 0;
  for (const { kind, size } of pools) {
    load += size;
    loads.set(kind, (loads.get(kind) ?? 0) + size);
  }
  const most = Math.max(...pools.map(({ size }) => size));
  const largest = pools.find(({ size }) => size === most);
  return { load, loads, largest: largest && { size: largest.size, kind: largest.kind } };
}
