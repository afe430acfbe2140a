/**
 * Every option of an upstream and of its limits, once: kind, default, bounds and words. Read by the config's resolver,
 * by `config --set upstreams.…`, by the nodes, which lay over it what was set by hand, and by the generated
 * `docs/options.md`. Values here are compiled: durations are whole milliseconds and end in `Ms`. Nothing of it is in a
 * workflow's history; it stands here because all option tables do.
 */
import { laidOver, refusal, type OptionChange, type OptionChanges, type OptionSpec } from '../lib/options';
import { DAY, SECOND } from '../lib/time';

/** See `activities/upstream/budget/limit.ts`. */
export const SHAPES = ['floating', 'fixed', 'calendar', 'leaky', 'concurrent'] as const;
export type ShapeName = (typeof SHAPES)[number];

/** The formats in which answers tell of limits, by the name that `learn` takes; read by `budget/headers`. */
export const FORMAT_NAMES = [
  'esi-group',
  'esi-errors',
  'github',
  'ietf',
  'shopify-rest',
  'shopify-graphql',
  'x-ratelimit',
  'x-rate-limit',
] as const;
export type FormatName = (typeof FORMAT_NAMES)[number];

/** Options of one limit, compiled. Null: headers tell, or what the upstream has. */
export interface LimitOptions {
  tokens: number | null;
  windowMs: number | null;
  shape: ShapeName;
  headroom: number | null;
  greatestCost: number | null;
  closesAtEnd: boolean;
  others: boolean;
  maxHoldMs: number | null;
}

/** Options of an upstream, compiled. */
export interface UpstreamOptionValues {
  headroom: number;
  callFirst: number;
  bulkLeast: number;
  limits: Record<string, LimitOptions>;
}

export const UPSTREAM_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'headroom',
    path: 'headroom',
    kind: 'number',
    default: 0,
    min: 0,
    max: 0.5,
    text: 'The share of each limit that is left alone. 0 keeps what Longwatch itself sends within every limit; 0.01 to 0.02 where others spend from the same buckets.',
  },
  {
    name: 'callFirst',
    path: 'callFirst',
    kind: 'number',
    default: 0.3,
    min: 0,
    max: 1,
    text: 'Calls (durable activities, requests outside of a run) go before everybody else up to this share of the tokens, where these are short.',
  },
  {
    name: 'bulkLeast',
    path: 'bulkLeast',
    kind: 'number',
    default: 0.05,
    min: 0,
    max: 0.5,
    text: 'Buffers and sweeps get this share of the tokens at least, where these are short.',
  },
];

export const LIMIT_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'tokens',
    path: 'tokens',
    kind: 'number',
    derived: 'headers tell, else it is felt for',
    min: 1,
    max: 1_000_000_000,
    text: 'Tokens of a window; places of a `concurrent` limit. With a number, headers may only lower it.',
  },
  {
    name: 'window',
    path: 'windowMs',
    kind: 'duration',
    derived: 'headers tell',
    min: SECOND,
    max: 31 * DAY,
    text: 'How long the window is. A `calendar` one is `1h`, `1d`, `7d` (from Monday) or `31d` (the month).',
  },
  {
    name: 'shape',
    path: 'shape',
    kind: 'word',
    words: SHAPES,
    default: 'floating',
    text: 'How tokens come back: one window after they were spent, when a window begins, evenly (`leaky`), or with the answer (`concurrent`).',
  },
  {
    name: 'headroom',
    path: 'headroom',
    kind: 'number',
    derived: "the upstream's",
    min: 0,
    max: 0.5,
    text: 'In place of the upstream’s own.',
  },
  {
    name: 'greatestCost',
    path: 'greatestCost',
    kind: 'number',
    derived: 'the greatest of `cost`, or 1',
    min: 0.001,
    max: 1_000_000,
    text: 'The most that one request can cost: so much is reserved before it is sent. An answer that costs more raises it for half an hour.',
  },
  {
    name: 'closesAtEnd',
    path: 'closesAtEnd',
    kind: 'boolean',
    default: false,
    text: "With nothing left the upstream refuses everything, as ESI's error limit does: the last token is never spent.",
  },
  {
    name: 'others',
    path: 'others',
    kind: 'boolean',
    default: true,
    text: 'Others who spend from the bucket are measured by the headers, and left what they take.',
  },
  {
    name: 'maxHold',
    path: 'maxHoldMs',
    kind: 'duration',
    derived: 'two windows, 15m at least',
    min: SECOND,
    max: 7 * DAY,
    text: 'A bucket that is closed for longer (`Retry-After`) is asked again after this.',
  },
];

/** The compiled path of one option: `headroom`, or `limits.errors.tokens`. */
export function upstreamSpecOf(path: string): OptionSpec | undefined {
  const limit = /^limits\.[^.]+\.(.+)$/.exec(path);
  return limit
    ? LIMIT_OPTIONS.find((spec) => spec.path === limit[1])
    : UPSTREAM_OPTIONS.find((spec) => spec.path === path);
}

/** Everything that is wrong with one change; empty: it may be made. */
export function upstreamChangeProblems(options: UpstreamOptionValues, change: OptionChange): string[] {
  const spec = upstreamSpecOf(change.path);
  if (!spec) return [`there is no option ${change.path}`];
  const limit = /^limits\.([^.]+)\./.exec(change.path)?.[1];
  if (limit !== undefined && !Object.hasOwn(options.limits, limit)) return [`there is no limit ${limit}`];
  if (change.value === null) return [];
  const problem = refusal(spec, change.value);
  if (problem !== undefined) return [problem];
  // A calendar window needs a zone besides, which is code, and its account is another one.
  const isCalendar = limit !== undefined && options.limits[limit]!.shape === 'calendar';
  if (spec.path === 'shape' && (change.value === 'calendar' || isCalendar))
    return ["shape cannot be set to or from 'calendar' while it runs: change the definition"];
  if (spec.path === 'windowMs' && isCalendar)
    return ['the window of a calendar limit cannot be set while it runs: change the definition'];
  return [];
}

/** The options with the changes laid over them; one that does not fit any more (a limit that is gone) is left out. */
export function withUpstreamChanges(
  options: UpstreamOptionValues,
  changes: Readonly<OptionChanges>,
): UpstreamOptionValues {
  return laidOver(options, changes, { problems: upstreamChangeProblems });
}
