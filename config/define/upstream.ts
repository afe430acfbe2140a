/**
 * An upstream and its limits, as a user writes them: the types of `defineUpstream` (`activities/upstream/define.ts`,
 * which makes the client). Operations, buffers, jobs, durable activities and gates name it; resolved by
 * `config/resolve/upstream.ts`, spent by `activities/upstream/spend`.
 */
import type { FormatName, ShapeName } from '../../workflows/upstream/options';
import type { Duration } from './types';

/** A request as a limit's `key` and `cost` see it. */
export interface LimitedRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
}

/** The things that say which bucket of a limit a request spends from. */
export interface KeyContext {
  /** The member for whom it is sent; undefined outside of a run, unless `reserve` or the request names one. */
  readonly id: string | undefined;
  /** The name of this node's address (`--egress`): nodes of one name share what is limited by address. */
  readonly address: string;
  readonly request: LimitedRequest;
  /**
   * A header of the upstream's answer, by its name in lower case. Before there is an answer it is that of the last
   * answers of the same operation and route; undefined until there was one.
   */
  readonly header: (name: string) => string | undefined;
}

/** An answer as a limit's `cost` and `learn` see it. */
export interface CostContext {
  readonly status: number;
  readonly request: LimitedRequest;
  /** By its name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** Its JSON; undefined where it is none. */
  readonly body: unknown;
}

/** The words of an answer on one bucket: what a `learn` of one's own returns. */
export interface LearnedLimit {
  /** Tokens that the upstream says are left. */
  remaining: number;
  /** Tokens of a window. */
  limit?: number;
  /** Seconds of a window. */
  window?: number;
  /** Seconds from the answer until the window begins anew. */
  reset?: number;
}

/** The bucket of a request. Undefined: the limit does not hold for it. */
export type KeyFunction = (context: KeyContext) => string | undefined;

/** One rule of an upstream that counts. */
export interface LimitDefinition {
  /**
   * One bucket for each address of ours (`address`), for each member (`member`), or for each text that the function
   * returns.
   * Required
   */
  key: 'address' | 'member' | KeyFunction;
  /**
   * Tokens of a window; places of a `concurrent` limit. With a number, headers may only lower it.
   * @default headers tell, else it is felt for, from 1 to 1000000000
   */
  tokens?: number;
  /**
   * How long the window is. A `calendar` one is `1h`, `1d`, `7d` (from Monday) or `31d` (the month).
   * @default headers tell, from 1s to 31d
   */
  window?: Duration;
  /**
   * How tokens come back: one window after they were spent, when a window begins, evenly (`leaky`), or with the answer
   * (`concurrent`).
   * @default floating
   */
  shape?: ShapeName;
  /**
   * The key holds a secret (an access token): it is stored and shown as a hash. A key of more than 100 characters
   * always is.
   * @default false
   */
  secret?: boolean;
  /** The time zone of a `calendar` window, such as `'America/New_York'`. @default 'UTC' */
  from?: string;
  /**
   * Tokens that an answer costs: always so many; by status (`{ 200: 2, '4xx': 5 }`: the status itself before its class;
   * one that is not there costs the greatest of them); or by a function.
   * @default 1
   */
  cost?: number | Readonly<Record<string | number, number>> | ((answer: CostContext) => number);
  /**
   * The most that one request can cost: so much is reserved before it is sent. An answer that costs more raises it
   * for half an hour.
   * @default the greatest of `cost`, or 1, from 0.001 to 1000000
   */
  greatestCost?: number;
  /**
   * Whether an answer that asks to be left alone is this limit's: its bucket is closed for so long then.
   * @default a 420 is that of a limit with `closesAtEnd`, any other that of the other limits, but for those whose
   *   headers say that something is left
   */
  refuses?: (answer: CostContext) => boolean;
  /**
   * Answers tell of it: `headers` in whatever format is found, a format by its name, or a function that reads one.
   * `false`: nothing is read.
   * @default 'headers' where `tokens` is left out, else false
   */
  learn?: 'headers' | FormatName | false | ((answer: CostContext) => LearnedLimit | undefined);
  /**
   * With nothing left the upstream refuses everything, as ESI's error limit does: the last token is never spent.
   * @default false
   */
  closesAtEnd?: boolean;
  /** Others who spend from the bucket are measured by the headers, and left what they take. @default true */
  others?: boolean;
  /** In place of the upstream’s own. @default the upstream's, from 0 to 0.5 */
  headroom?: number;
  /**
   * A bucket that is closed for longer (`Retry-After`) is asked again after this.
   * @default two windows, 15m at least, from 1s to 7d
   */
  maxHold?: Duration;
}

/** The limits of an upstream, and how what they leave is shared. */
export interface LimitsDefinition {
  /** Unique among upstreams. It begins with a small letter and has at most 63 letters, digits, `-` and `_`. */
  name: string;
  /**
   * The share of each limit that is left alone. 0 keeps what Longwatch itself sends within every limit; 0.01 to 0.02
   * where others spend from the same buckets.
   * @default 0, from 0 to 0.5
   */
  headroom?: number;
  /**
   * Calls (durable activities, requests outside of a run) go before everybody else up to this share of the tokens,
   * where these are short.
   * @default 0.3, from 0 to 1
   */
  callFirst?: number;
  /**
   * Buffers and sweeps get this share of the tokens at least, where these are short.
   * @default 0.05, from 0 to 0.5
   */
  bulkLeast?: number;
  /** The limits by name. */
  limits?: Record<string, LimitDefinition>;
}

/** Marks an upstream across copies of this package: a config that is loaded from its source may bring a second one. */
const UPSTREAM = Symbol.for('longwatch.upstream');

/** The result of `defineUpstream`, as far as definitions know it. */
export interface DefinedUpstream {
  readonly name: string;
  readonly [UPSTREAM]: LimitsDefinition;
}

/** The definition of what `defineUpstream` made; undefined: it is something else. */
export function definitionOf(upstream: unknown): LimitsDefinition | undefined {
  if (typeof upstream !== 'object' || upstream === null || !(UPSTREAM in upstream)) return undefined;
  return (upstream as DefinedUpstream)[UPSTREAM];
}

/** Makes an object an upstream of that definition. */
export function marked<T extends object>(upstream: T, definition: LimitsDefinition): T & DefinedUpstream {
  return Object.assign(upstream, { name: definition.name, [UPSTREAM]: definition });
}
