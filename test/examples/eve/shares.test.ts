/** The shares that the real case prints: of what an upstream grants at most, whatever the length of the run. */
import { sharesOf, WINDOW_MS } from '../../../examples/eve/real-case/shares';

const REVOKED = 150;

/** A window that is spent from whenever something is left, from the beginning of a run to `untilMs`. */
function spentBy(tokens: number, untilMs: number, windowMs: number): number {
  const fits = Math.floor((untilMs - 1) / windowMs) + 1;
  return tokens * fits;
}

test.each([1, 30, 61, 90, 300, 899, 900, 901, 1_000, 1_350, 1_800, 2_700])(
  'a run of %i s that spends all at once is at most whole',
  (seconds) => {
    const tookMs = seconds * 1_000;
    for (const half of [false, true])
      for (const characters of [1, 5_000]) {
        const windows = Math.floor(tookMs / WINDOW_MS);
        const until = windows === 0 ? tookMs : windows * WINDOW_MS;
        const wallets = characters * spentBy(half ? 75 : 150, until, WINDOW_MS);
        const portraits = spentBy(half ? 1_000 : 2_000, until, WINDOW_MS);
        // Their first window had begun long before the run.
        const errors = 99 * (Math.floor((tookMs - 1) / 60_000) + 2);
        const spent = { windows, wallets, portraits };
        const shares = sharesOf({ characters, half, tookMs, spent, errors, revoked: REVOKED });
        expect(shares).toEqual({ wallets: 1, portraits: 1, errors: expect.any(Number) as number });
        expect(shares.errors).toBeLessThanOrEqual(1);
        expect(shares.errors).toBeGreaterThan(0.6);
      }
  },
);
