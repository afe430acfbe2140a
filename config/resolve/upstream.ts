/**
 * Upstreams, from what the user wrote to what nodes spend by: compiled options, checked against the tables of
 * `workflows/upstream/options.ts`, and each limit's key, cost and reader. Called by `config.ts` with those of
 * `upstreams` and those that operations, buffers, jobs, activities and gates name, and by an upstream that is used
 * outside of a config.
 */
import {
  FORMAT_NAMES,
  LIMIT_OPTIONS,
  UPSTREAM_OPTIONS,
  type LimitOptions,
  type UpstreamOptionValues,
} from '../../workflows/upstream/options';
import { NAME_PATTERN } from '../../workflows/lib/options';
import { definitionOf, type LimitDefinition, type LimitsDefinition } from '../define/upstream';
import { didYouMean } from '../suggest';
import { isObject } from '../../workflows/lib/json';
import { NAME_RULE, Reader, type Given, type OptionSource } from './given';

export interface ResolvedUpstream {
  name: string;
  /** Compiled, plain JSON. */
  options: UpstreamOptionValues;
  /** By compiled path: `headroom`, `limits.errors.tokens`. */
  sources: Record<string, OptionSource>;
  /** The code and data of each limit, by name. */
  limits: Record<string, LimitDefinition>;
  /**
   * The one tracker that spends from it, by operations that name it; undefined: several do, or something else besides,
   * or it is listed. Only then may a bucket of a member be kept by the shift that keeps the member.
   */
  onlyTracker?: string;
}

const UPSTREAM_KEYS = [
  ...UPSTREAM_OPTIONS.map((spec) => spec.name),
  'name',
  'limits',
  // The options of the client, as `createUpstream` has them: it looks at them itself.
  ...['origin', 'headers', 'connections', 'maxBodyBytes', 'timeoutMs', 'holdScope', 'defaultHoldMs'],
  ...['judge', 'exactIntegers'],
];
const LIMIT_KEYS = [...LIMIT_OPTIONS.map((spec) => spec.name), 'key', 'secret', 'cost', 'refuses', 'learn', 'from'];

/** Windows of a calendar, by their milliseconds. */
export const CALENDAR_PERIODS: Readonly<Record<number, 'hour' | 'day' | 'week' | 'month'>> = {
  3_600_000: 'hour',
  86_400_000: 'day',
  604_800_000: 'week',
  [31 * 86_400_000]: 'month',
};

/** Something that spends from an upstream, by the path of its definition, for messages. */
export interface UpstreamUse {
  at: string;
  upstream: unknown;
  /** The tracker, where an operation or a gate uses it. */
  tracker?: string;
}

/** Every upstream of a config: those that it lists and those that are only used, each once. */
export function resolveUpstreams(
  listed: unknown,
  uses: readonly UpstreamUse[],
  problems: string[],
): ResolvedUpstream[] {
  if (listed !== undefined && !Array.isArray(listed)) {
    problems.push('upstreams must be a list of defineUpstream({ … })');
    listed = [];
  }
  const all: UpstreamUse[] = [
    ...((listed as unknown[] | undefined) ?? []).map((upstream, index) => ({ at: `upstreams[${index}]`, upstream })),
    ...uses.filter(({ upstream }) => upstream !== undefined),
  ];
  const byName = new Map<string, { definition: LimitsDefinition; users: Set<string>; at: string }>();
  for (const { at, upstream, tracker } of all) {
    const definition = definitionOf(upstream);
    if (definition === undefined) {
      problems.push(`${at} must be made by defineUpstream({ name, … })${unnamedHint(upstream)}`);
      continue;
    }
    const known = byName.get(definition.name);
    if (known && known.definition !== definition) {
      problems.push(`${at}: there are two upstreams named '${definition.name}' (the other is that of ${known.at})`);
      continue;
    }
    const entry = known ?? { definition, users: new Set<string>(), at };
    // One that is listed is also asked by code that names nothing.
    entry.users.add(tracker ?? '');
    byName.set(definition.name, entry);
  }
  return [...byName.values()].map(({ definition, users }) => {
    const resolved = resolveUpstream(definition, problems);
    const [only] = users;
    return users.size === 1 && only !== '' ? { ...resolved, onlyTracker: only } : resolved;
  });
}

function unnamedHint(upstream: unknown): string {
  if (typeof upstream === 'string') return `, not the name '${upstream}'`;
  const isClient = isObject(upstream) && typeof upstream.get === 'function';
  return isClient ? ': createUpstream has no name and no limits' : '';
}

/** One definition by itself. */
export function resolveUpstream(definition: LimitsDefinition, problems: string[]): ResolvedUpstream {
  const given = definition as unknown as Given;
  const { name } = definition as { name: unknown };
  const isNamed = typeof name === 'string' && NAME_PATTERN.test(name);
  if (!isNamed) problems.push(`upstreams: name must be ${NAME_RULE}, not ${JSON.stringify(name) ?? 'missing'}`);
  const sources: Record<string, OptionSource> = {};
  const reader = new Reader(given, { at: `upstreams.${isNamed ? name : '?'}.`, problems, sources });
  reader.onlyKeys(UPSTREAM_KEYS);
  const options: Given = {};
  for (const spec of UPSTREAM_OPTIONS) options[spec.path] = reader.option(spec);
  const limits = reader.object('limits');
  const compiled: Record<string, LimitOptions> = {};
  for (const [limit, value] of Object.entries(limits)) {
    const at = `limits.${limit}`;
    if (!NAME_PATTERN.test(limit)) reader.problem(`${at}: its name must be ${NAME_RULE}`);
    if (isObject(value)) compiled[limit] = resolveLimit(reader.over(at, value), limit);
    else reader.problem(`${at} must be an object: { key: 'address', tokens: 100, window: '1m' }`);
  }
  return {
    name: isNamed ? name : '?',
    options: { ...options, limits: compiled } as unknown as UpstreamOptionValues,
    sources,
    limits: limits as Record<string, LimitDefinition>,
  };
}

function resolveLimit(limit: Reader, name: string): LimitOptions {
  const { given } = limit;
  limit.onlyKeys(LIMIT_KEYS);
  const values: Given = {};
  for (const spec of LIMIT_OPTIONS) values[spec.path] = limit.option(spec, spec.name, `limits.${name}.${spec.path}`);
  const { key } = given;
  if (key === undefined) limit.problem("key is required: 'address', 'member', or a function that returns a text");
  else if (key !== 'address' && key !== 'member' && typeof key !== 'function')
    limit.problem(`key must be 'address', 'member' or a function${hintOf(key, ['address', 'member'])}`);
  if (given.secret !== undefined && typeof given.secret !== 'boolean') limit.problem('secret must be true or false');
  limit.optionalFunction('refuses');
  checkCost(limit);
  checkLearn(limit);
  checkShape(limit, values as unknown as LimitOptions);
  const options = values as unknown as LimitOptions;
  options.greatestCost ??= greatestOf(given.cost);
  return options;
}

function checkCost(limit: Reader): void {
  const { cost } = limit.given;
  if (cost === undefined || typeof cost === 'function') return;
  const isCost = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value) && value >= 0;
  if (!isObject(cost)) {
    if (!isCost(cost)) limit.problem("cost must be a number from 0 on, a table ({ 200: 2, '4xx': 5 }) or a function");
    return;
  }
  for (const [status, value] of Object.entries(cost)) {
    if (!/^[1-5](\d\d|xx)$/.test(status))
      limit.problem(`cost: '${status}' is not a status such as 200, nor a class such as '4xx'`);
    else if (!isCost(value)) limit.problem(`cost.${status} must be a number from 0 on`);
  }
  if (Object.keys(cost).length === 0) limit.problem('cost: the table is empty');
}

function checkLearn(limit: Reader): void {
  const { learn } = limit.given;
  const words: readonly unknown[] = [undefined, false, 'headers', ...FORMAT_NAMES];
  if (words.includes(learn) || typeof learn === 'function') return;
  const names = ['headers', ...FORMAT_NAMES];
  limit.problem(
    `learn must be ${names.map((one) => `'${one}'`).join(', ')}, false or a function${hintOf(learn, names)}`,
  );
}

function checkShape(limit: Reader, options: LimitOptions): void {
  const { from } = limit.given;
  if (options.shape !== 'calendar') {
    if (from !== undefined) limit.problem("from is the time zone of a limit whose shape is 'calendar'");
  } else {
    if (options.windowMs === null || !(options.windowMs in CALENDAR_PERIODS))
      limit.problem("window of a calendar limit must be '1h', '1d', '7d' (a week, from Monday) or '31d' (a month)");
    if (from !== undefined && !isZone(from)) limit.problem(`from must be a time zone such as 'Europe/Berlin'`);
  }
  if (options.shape === 'concurrent') {
    if (options.tokens === null) limit.problem('tokens is required of a concurrent limit: how many at once');
    if (options.windowMs !== null) limit.problem('window has no meaning for a concurrent limit');
  } else if (options.tokens !== null && options.windowMs === null && readsNothing(limit.given)) {
    limit.problem('window is required where tokens is given and no header tells of it');
  }
}

function readsNothing({ learn }: Given): boolean {
  return learn === undefined || learn === false;
}

function isZone(zone: unknown): boolean {
  if (typeof zone !== 'string') return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

function greatestOf(cost: unknown): number {
  if (typeof cost === 'number') return Math.max(cost, 0.001);
  if (!isObject(cost)) return 1;
  return Math.max(0.001, ...Object.values(cost).filter((value): value is number => typeof value === 'number'));
}

function hintOf(word: unknown, words: readonly string[]): string {
  return typeof word === 'string' ? `, not '${word.slice(0, 60)}'${didYouMean(word, words)}` : '';
}
