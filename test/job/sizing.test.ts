/** The size of chunks follows measured time: towards the target, not towards nothing on a busy machine. */
import { CHUNK_TARGET_MS, Sizing } from '../../activities/job/sizing';

const auto = { chunk: 'auto', pace: 'full' } as const;

/** After some chunks of a table whose rows cost so much, over a connection with such round trips. */
function settled(usPerRow: number, tripMs: number, known?: number): Sizing {
  const sizing = new Sizing(auto, known);
  for (let chunk = 0; chunk < 60; chunk++) {
    const { size } = sizing;
    sizing.took(size, size, (size * usPerRow) / 1_000 + 3 * tripMs, tripMs);
  }
  return sizing;
}

test('a chunk takes about the target, whatever a row costs', () => {
  for (const us of [0.5, 2, 10, 40]) {
    const took = (settled(us, 0.2).size * us) / 1_000;
    expect(took).toBeGreaterThan(CHUNK_TARGET_MS * 0.8);
    expect(took).toBeLessThan(CHUNK_TARGET_MS * 1.2);
  }
});

test('slow round trips do not make chunks small', () => {
  expect(settled(1, 20).size).toBeGreaterThan(1_000);
});

test('a single stall costs a third of the size at most', () => {
  const sizing = settled(1, 0.2);
  const before = sizing.size;
  sizing.took(before, before, 500, 0.2);
  expect(sizing.size).toBeGreaterThan(before * 0.6);
});

test('it never leaves its bounds, and a given size stays', () => {
  expect(settled(100_000, 0.2).size).toBe(100);
  expect(settled(0.000_1, 0).size).toBe(100_000);
  const fixed = new Sizing({ chunk: 777, pace: 'full' }, 5);
  fixed.took(777, 777, 1_000, 1);
  expect(fixed.size).toBe(777);
});

test('it gives way to who makes rows cost more than twice as much, and never rests at full pace', () => {
  const yielding = new Sizing({ chunk: 1_000, pace: 'yield' }, undefined);
  expect(yielding.took(1_000, 1_000, 5, 0.1)).toBe(0);
  expect(yielding.took(1_000, 1_000, 8, 0.1)).toBe(0);
  expect(yielding.took(1_000, 1_000, 40, 0.1)).toBeGreaterThan(20);
  const full = new Sizing({ chunk: 1_000, pace: 'full' }, undefined);
  full.took(1_000, 1_000, 5, 0.1);
  expect(full.took(1_000, 1_000, 400, 0.1)).toBe(0);
});

test('a pace in rows a second is kept over all chunks', () => {
  const slow = new Sizing({ chunk: 1_000, pace: 10_000 }, undefined);
  const rest = slow.took(1_000, 1_000, 1, 0);
  expect(rest).toBeGreaterThan(80);
  expect(rest).toBeLessThanOrEqual(100);
});
