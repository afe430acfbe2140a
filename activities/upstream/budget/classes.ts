/**
 * The order within a node where tokens are short: a `call` (somebody waits for it: durable activities, requests), a
 * `watch` (members, by worth) or `bulk` (buffers, sweeps). Calls go first up to their share, bulk has a least share,
 * the rest is the watch's; what one does not use is there for the others. Pure; the dispatcher asks `first` for each
 * token that is free, and says with `spent` who took it.
 */

export const CLASSES = ['call', 'watch', 'bulk'] as const;
export type Class = (typeof CLASSES)[number];

export interface Shares {
  /** A share of the tokens, 0 to 1: up to it calls go before everybody else. */
  callFirst: number;
  /** The least that bulk gets, however much the others want. */
  bulkLeast: number;
}

export const SHARES: Readonly<Shares> = { callFirst: 0.3, bulkLeast: 0.05 };

/** Shares are looked at over some ten seconds: a burst of calls after a quiet hour goes first for three of them. */
const MEMORY_SECONDS = 10;

export class ClassOrder {
  /** Tokens of the last seconds, fading. */
  private readonly taken: Record<Class, number> = { call: 0, watch: 0, bulk: 0 };
  private at = -Infinity;

  constructor(private readonly shares: Shares = SHARES) {}

  /** The class whose turn it is, of those that have something ready; undefined: nobody has. */
  first(ready: (of: Class) => boolean, now: number): Class | undefined {
    this.fade(now);
    const { call, watch, bulk } = this.taken;
    const all = call + watch + bulk;
    if (ready('bulk') && bulk < this.shares.bulkLeast * all) return 'bulk';
    if (ready('call') && call <= this.shares.callFirst * all) return 'call';
    return (['watch', 'call', 'bulk'] as const).find(ready);
  }

  spent(by: Class, tokens: number, now: number): void {
    this.fade(now);
    this.taken[by] += tokens;
  }

  private fade(now: number): void {
    // The clock may stand still or go back; then nothing fades.
    const elapsed = Math.max(0, now - this.at);
    if (this.at === -Infinity || elapsed > 0) this.at = now;
    if (elapsed === 0) return;
    const left = Math.exp(-elapsed / MEMORY_SECONDS);
    for (const of of CLASSES) this.taken[of] *= left;
  }
}
