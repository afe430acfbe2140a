/**
 * The shares that a run of the real case spent of the tokens that it may spend, by the upstream's own counts. Each is
 * at most one, however short the run is, for an upstream that refuses what is past its limits. Called by `main.ts`.
 */

export const WINDOW_MS = 15 * 60_000;
const ERRORS_WINDOW_MS = 60_000;
/** A minute allows a hundred errors, and the last one is never risked. */
const ERRORS = 99;

/** The tokens that were spent until so many whole windows were over; in a run shorter than one, until its end. */
export interface Spent {
  windows: number;
  wallets: number;
  portraits: number;
}

export interface Run {
  characters: number;
  /** The buckets have half of their tokens. */
  half: boolean;
  tookMs: number;
  spent: Spent;
  errors: number;
  /** Characters that are refused once a minute each. */
  revoked: number;
}

/** A floating window holds its bucket at most, so a run of some windows spends as many buckets. */
export function sharesOf({ characters, half, tookMs, spent, errors, revoked }: Run) {
  const windows = Math.max(1, spent.windows);
  // Windows of a minute begin when the upstream says, so a run touches one more than it is long.
  const minutes = Math.ceil(tookMs / ERRORS_WINDOW_MS) + 1;
  return {
    wallets: spent.wallets / (windows * (half ? 75 : 150) * characters),
    portraits: spent.portraits / (windows * (half ? 1_000 : 2_000)),
    errors: errors / (minutes * Math.min(ERRORS, revoked)),
  };
}
