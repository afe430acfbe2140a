/**
 * The rows of the ledger: a bucket (one limit for one key) and the parts that nodes have of it. Plain data: read `for
 * update`, handed to `statement.ts`, written back. `newBucket` makes the first one, `clockOf` says what time it is for
 * a bucket.
 */
import { slotWidth, type Limit } from '../limit';
import { FIGURES } from '../figures';
import type { Seen } from './messages';
import { emptyRing, forget, regrid, type Ring } from './ring';

export interface Part {
  node: string;
  epoch: number;
  seq: number;
  /** Cumulative, all three: what the node may have spent, what it said it spent, and what of that may still arrive. */
  granted: number;
  settled: number;
  late: number;
  /** The ledger's clock: when it ends, when it was renewed. */
  until: number;
  at: number;
  wants: number;
  /** When it was given something last, or began. */
  servedAt: number;
  /** Tokens that its fair share would have given and did not. */
  deficit: number;
  mute: number;
  /**
   * It has ended: what it had not spent is charged to the slot of `chargedAt`, and is taken back where the node tells
   * what it really spent.
   */
  ended?: { at: number; chargedAt: number; unspent: number };
}

/** The last header's word on the bucket, in numbers of the ledger. */
export interface HeaderReading {
  /** Tokens spent, by the ledger's count, that are surely in it. */
  spent: number;
  /** The count at which the bucket is empty: remaining + spent. */
  seen: number;
  at: number;
  /** Seconds from `at` until the window begins anew. */
  reset?: number;
}

export interface Felt {
  /** Tokens a second. */
  rate: number;
  /** The rate that was refused last; undefined: never refused. */
  refused?: number;
  /** An episode of refusals ends here: until then nothing is cut again. */
  quietUntil: number;
  /** Whether it was used, when that was looked at last, and what was spent by then. */
  isBusy: boolean;
  since: number;
  spent: number;
}

export interface Closing {
  until: number;
  /** When the refused request was sent. */
  sentAt: number;
  generation: number;
}

export interface Bucket {
  /** The last moment at which it was looked at. The bucket's time never goes back. */
  at: number;
  /** Added to the database's clock: after a fail-over the bucket goes on from where it was. */
  offset: number;
  /** Seconds that its time has missed, while the machine of the only node that spent from it was suspended. */
  lag?: number;
  /** PostgreSQL's timeline at that time: another one means that commits may be lost. */
  timeline: string;
  era: number;
  /**
   * The era in which the row was made: a node that knows an earlier one knew a row that is gone. Undefined: such a node
   * has told, or nobody knows.
   */
  madeIn?: number;
  /** Eras before commits were lost, and how much of what was spent by then is counted: nodes may know more. */
  lost?: Seen[];
  /** Until then it learns what the nodes hold, after it has lost commits. */
  learningUntil: number;

  /**
   * The upstream's own word on the limit, how much was surely spent when it told, and when the window begins anew.
   */
  told: { tokens?: number; window?: number; spent: number; turnsAt?: number };
  /** Tokens by when we spent them. */
  own: Ring;
  /** The contents of a leaky bucket at `at`; `own` has only what is still to come. */
  level: number;
  /** Tokens and window by which it leaked last. Undefined: it is of another shape. */
  leaks?: { tokens: number; window: number };
  /** Tokens by when others spent them, as far as headers tell. */
  others: Ring;
  /** Tokens that others had spent before the first header: they come back, and say nothing of a rate. */
  before?: { slot: number; tokens: number };
  /** The tokens of the window that others hold, smoothed, and when that was looked at last. */
  othersHold: number;
  othersAt?: number;
  /** Tokens a second that others spend. */
  othersRate: number;
  /** All that we ever spent; never lowered. Headers are compared by it. */
  spent: number;

  /** The part of what the pace has brought that may be granted now. */
  credit: number;
  creditAt: number;
  header?: HeaderReading;
  /** The limit that refusals without a header make us believe. */
  belief?: { tokens: number; at: number };
  felt?: Felt;
  /** Longest way of an answer lately, seconds. */
  flight: number;
  flightAt: number;
  closed: Closing;
  /** The last word on its whole limit that it has followed, and the generation of a closing that was that word. */
  limitSerial?: number;
  limitGeneration?: number;
  parts: Part[];
}

export function newBucket(limit: Limit, now: number, timeline = ''): Bucket {
  const width = slotWidth(limit.window ?? 60);
  return {
    at: now,
    offset: 0,
    timeline,
    // No era is ever used twice, also where a row is made anew.
    era: Math.floor(now),
    madeIn: Math.floor(now),
    learningUntil: now,
    told: { spent: 0 },
    own: emptyRing(width),
    level: 0,
    others: emptyRing(width),
    othersHold: 0,
    othersRate: 0,
    spent: 0,
    // The first requests of a bucket wait for nothing.
    credit: FIGURES.creditRequests * limit.greatestCost,
    creditAt: now,
    flight: FIGURES.firstFlight,
    flightAt: now,
    closed: { until: 0, sentAt: 0, generation: 0 },
    parts: [],
  };
}

/** Nothing in it is of use to anybody: the row may be deleted. */
export function isForgettable(bucket: Bucket, at: number): boolean {
  const spent = bucket.own.tokens.length > 0 || bucket.others.tokens.length > 0 || bucket.level > 0;
  return !spent && bucket.parts.length === 0 && bucket.closed.until <= at && !bucket.felt && !bucket.header;
}

/** Tokens of a window as far as they are known: the user's word, lowered by what headers tell. */
export function tokensOf(bucket: Bucket, limit: Limit): number | undefined {
  const { tokens } = bucket.told;
  if (limit.tokens === undefined || tokens === undefined) return limit.tokens ?? tokens;
  return Math.min(limit.tokens, tokens);
}

/** Seconds of a window. A concurrent limit has none: what is given back is there again at once. */
export function windowOf(bucket: Bucket, limit: Limit): number | undefined {
  return limit.shape === 'concurrent' ? 0 : (limit.window ?? bucket.told.window);
}

/**
 * Slots of the width that the window asks for, where it has become known or was changed: fine ones would be too many
 * for the row, and coarse ones come back too late.
 */
export function fitRings(bucket: Bucket, limit: Limit): void {
  const window = windowOf(bucket, limit);
  const width = slotWidth(window ?? 0);
  if (window === undefined || width === bucket.own.width) return;
  // Nothing is charged later than that.
  const latest = bucket.at + limit.late;
  bucket.own = regrid(bucket.own, width, latest);
  bucket.others = regrid(bucket.others, width, latest);
  delete bucket.before;
}

/** Drops what can no longer matter: slots older than two windows, parts whose end was long ago. */
export function tidy(bucket: Bucket, limit: Limit): void {
  const { at } = bucket;
  const window = bucket.felt ? FIGURES.unknownWindow : (windowOf(bucket, limit) ?? FIGURES.unknownWindow);
  forget(bucket.own, at - 2 * window);
  forget(bucket.others, at - 2 * window);
  bucket.parts = bucket.parts.filter((part) => !part.ended || at - part.ended.at <= FIGURES.remembered);
}
