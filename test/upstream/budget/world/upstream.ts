/** The upstream of the simulated world: it counts exactly, refuses what does not fit, and keeps what happened. */
import { ConcurrentCount, type Count } from '../../../../examples/upstreams/counts';
import type { Draws } from '../../../support/draws';
import type { Events } from './events';

export interface Answered {
  status: number;
  cost: number;
  /** The words of its headers: remaining, limit, reset; undefined: it sends none. */
  remaining?: number;
  limit?: number;
  reset?: number;
  window?: number;
  /** Seconds, of a refusal. */
  retryAfter?: number;
}

export interface UpstreamOptions {
  count: Count;
  /** The status and its cost, drawn for each request. */
  answer: (now: number) => { status: number; cost: number };
  headers: boolean;
  /** With nothing left it answers 420 to everything. */
  closesAtEnd: boolean;
  /** Shares of the answers whose headers are lost, or say something that is not true. */
  lost: number;
  lying: number;
  /** Cut to whole seconds, as headers are. */
  resets: boolean;
}

export class SimulatedUpstream {
  requests = 0;
  refused = 0;
  /** The refusals of these that others had no part in. */
  refusedByUs = 0;
  refusedOthers = 0;
  /** Tokens that we and others spent. */
  spent = 0;
  spentByOthers = 0;
  lastSpentAt: number;
  longestStandstill = 0;
  /** The most of ours above the limit; never above zero. */
  above = -Infinity;

  constructor(
    private readonly events: Events,
    private readonly draw: Draws,
    readonly options: UpstreamOptions,
  ) {
    this.lastSpentAt = events.now;
  }

  get isConcurrent(): boolean {
    return this.options.count instanceof ConcurrentCount;
  }

  handle(): Answered {
    const { count, closesAtEnd } = this.options;
    const { now } = this.events;
    const { status, cost } = this.options.answer(now);
    this.requests++;
    const fits = closesAtEnd ? count.remaining(now) > 0 : count.fits(now, cost);
    if (!fits) {
      this.refused++;
      const ours = count.ours(now);
      if (closesAtEnd ? ours >= count.limit : ours + cost > count.limit) this.refusedByUs++;
      const retryAfter = Math.max(1, Math.ceil(count.retryAfter(now, Math.max(cost, 1))));
      return { status: closesAtEnd ? 420 : 429, cost: 0, retryAfter, ...this.headers(now) };
    }
    count.take(now, cost, true);
    this.spent += cost;
    this.above = Math.max(this.above, count.ours(now) - count.limit);
    if (cost > 0) {
      this.longestStandstill = Math.max(this.longestStandstill, now - this.lastSpentAt);
      this.lastSpentAt = now;
    }
    return { status, cost, ...this.headers(now) };
  }

  /** Its answer is on the way: a place is free again. */
  leave(answered: Answered): void {
    const { count } = this.options;
    if (count instanceof ConcurrentCount && answered.retryAfter === undefined) count.giveBack();
  }

  other(cost: number): void {
    const { count } = this.options;
    const { now } = this.events;
    if (!count.fits(now, cost)) {
      this.refusedOthers++;
      return;
    }
    count.take(now, cost, false);
    this.spentByOthers += cost;
  }

  private headers(now: number): Partial<Answered> {
    const { count, headers, lost, lying, resets } = this.options;
    if (!headers || this.draw.chance(lost)) return {};
    const limit = count.limit;
    if (this.draw.chance(lying))
      return { limit, remaining: this.draw.one([limit * 10, -5, 0, limit, NaN, 3]), reset: undefined };
    const reset = count.reset(now);
    return {
      limit,
      remaining: count.remaining(now),
      reset: reset === undefined || !resets ? undefined : Math.floor(reset),
    };
  }
}
