/**
 * The pace of a node at one bucket: what its requests cost in the mean, what the further requests of a run may need,
 * and the pause between two, so that those of a second are not sent in its first moment. Kept by `account.ts`.
 */
import { FIGURES } from './figures';
import type { Limit } from './limit';

export class Pace {
  meanCost: number;
  /** Nothing is sent before; monotonic seconds. */
  next = -Infinity;

  /** The most that was reserved at once, lately. */
  private most = 0;

  constructor(greatestCost: number) {
    this.meanCost = greatestCost;
  }

  /** An answer has cost so much. */
  note(cost: number): void {
    this.meanCost += FIGURES.costWeight * (cost - this.meanCost);
  }

  /** Tokens for the requests of a run behind the first one. @param most that one costs @param rate tokens a second */
  further(requests: number, most: number, rate: number, { shape }: Limit): number {
    // Places of a concurrent limit come back with each answer, so a run needs one at a time.
    if (shape === 'concurrent') return 0;
    // No more than comes together in some seconds: a run that makes many requests of a small limit begins all the same.
    return Math.min((requests - 1) * Math.min(this.meanCost, most), FIGURES.furtherSeconds * rate);
  }

  /** So much is reserved for requests under way. */
  holds(tokens: number): void {
    this.most = Math.max(this.most, tokens);
  }

  /**
   * Tokens a second that a node wants: what its requests cost, or what those under way reserve together, where that is
   * more (the greatest cost is reserved, and an error budget's answers mostly cost nothing). It wants some more than
   * those reserved, or else some wait in each second that has more of them than the one before.
   */
  wants(requests: number, growth: number, held: number): number {
    const reserved = (FIGURES.reservedMore * growth * this.most) / FIGURES.inHand;
    this.most = Math.max(held, FIGURES.reservedFades * this.most);
    return Math.max(requests * Math.max(this.meanCost, 0.01), reserved);
  }

  /** A request is sent. */
  sent(now: number, rate: number, { shape }: Limit): void {
    if (!(rate > 0) || shape === 'concurrent') return;
    const pause = Math.min(FIGURES.longestPause, (FIGURES.paceShare * this.meanCost) / rate);
    this.next = Math.max(this.next, now - FIGURES.paceDebt) + pause;
  }
}
