/** Chance that can be repeated, for the bad days of `main.ts` and of the chat. */

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function drawing(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
