/**
 * `operations.location.every=500ms`, from `config --set` and the library's `set`, to an OptionChange for the tracker.
 */
import { GATE_OPTIONS, OPERATION_OPTIONS, RECEIVE_OPTIONS, TRACKER_OPTIONS } from '../workflows/tracker/options';
import { ConfigError } from './errors';
import { didYouMean } from './suggest';
import { compileByHand } from './values';
import type { OptionChange } from '../workflows/lib/options';
import {
  LIMIT_OPTIONS,
  UPSTREAM_OPTIONS,
  upstreamChangeProblems,
  type UpstreamOptionValues,
} from '../workflows/upstream/options';

/** `PATH=VALUE` in its halves. @throws ConfigError when it is none. */
export function splitChange(text: string): [path: string, value: string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new ConfigError([`'${text}' is not a change: write PATH=VALUE, such as ${EXAMPLE}`]);
  return [text.slice(0, equals).trim(), text.slice(equals + 1).trim()];
}

const EXAMPLE = 'operations.location.every=500ms';

/**
 * One change from its two halves. The path is spelled as in a config module; an empty value, `default` or null takes a
 * change back.
 * @param value a string, as typed, or already a number or boolean
 * @param operations the tracker's operations, when known: a wrong one is then refused here, with a suggestion.
 * @throws ConfigError when the path or the value may not stand.
 */
export function optionChange(
  path: string,
  value: string | number | boolean | null,
  operations?: readonly string[],
): OptionChange {
  const parts = path.split('.');
  const ofOperation = parts[0] === 'operations';
  const name = ofOperation ? parts.slice(2).join('.') : path;
  const operation = parts[1] ?? '';
  if (ofOperation && operations && !operations.includes(operation)) {
    const hint = didYouMean(operation, operations) || `; there are ${operations.join(', ')}`;
    throw new ConfigError([`${path}: there is no operation '${operation}'${hint}`]);
  }
  const prefix = ofOperation ? `operations.${operation}.` : '';
  const specs = ofOperation ? OPERATION_OPTIONS : [...TRACKER_OPTIONS, ...GATE_OPTIONS, ...RECEIVE_OPTIONS];
  const spec = specs.find((candidate) => candidate.name === name);
  if (!spec || (ofOperation && operation === '')) {
    const known = paths(prefix, operations);
    // `location.every` is nearer to `operations.location.every` than its letters say.
    const whole = known.find((candidate) => candidate === `operations.${path}`);
    throw new ConfigError([`there is no option ${path}${didYouMean(whole ?? path, known)}`]);
  }
  const compiled = prefix + spec.path;
  if (value === null || value === '' || value === 'default') return { path: compiled, value: null };
  const result = compileByHand(spec, value);
  if ('problem' in result) throw new ConfigError([prefix + result.problem]);
  return { path: compiled, value: result.value };
}

/**
 * `upstreams.esi.limits.errors.tokens` and its value, to an upstream's name and a change of it.
 * @param upstreams those that are known, with their options: a wrong one is refused here, with a suggestion
 * @throws ConfigError when the path or the value may not stand
 */
export function upstreamChange(
  path: string,
  value: string | number | boolean | null,
  upstreams: Readonly<Record<string, UpstreamOptionValues>>,
): { upstream: string; change: OptionChange } {
  const [, upstream = '', ...rest] = path.split('.');
  const options = Object.hasOwn(upstreams, upstream) ? upstreams[upstream] : undefined;
  if (!options) {
    const names = Object.keys(upstreams);
    const hint = didYouMean(upstream, names) || (names.length > 0 ? `; there are ${names.join(', ')}` : '');
    throw new ConfigError([`${path}: there is no upstream '${upstream}'${hint}`]);
  }
  const [limit, option] = rest[0] === 'limits' ? [rest[1] ?? '', rest.slice(2).join('.')] : ['', rest.join('.')];
  const prefix = rest[0] === 'limits' ? `limits.${limit}.` : '';
  const spec = (prefix === '' ? UPSTREAM_OPTIONS : LIMIT_OPTIONS).find(({ name }) => name === option);
  if (!spec || (prefix !== '' && !Object.hasOwn(options.limits, limit))) {
    const limits = Object.keys(options.limits);
    if (spec) throw new ConfigError([`${path}: there is no limit '${limit}'${didYouMean(limit, limits)}`]);
    const known = [
      ...UPSTREAM_OPTIONS.map(({ name }) => `upstreams.${upstream}.${name}`),
      ...limits.flatMap((one) => LIMIT_OPTIONS.map(({ name }) => `upstreams.${upstream}.limits.${one}.${name}`)),
    ];
    const code = ['key', 'secret', 'cost', 'refuses', 'learn', 'from'].includes(option)
      ? ' that may be set: it is code'
      : '';
    throw new ConfigError([`there is no option ${path}${code || didYouMean(path, known)}`]);
  }
  const compiled = prefix + spec.path;
  if (value === null || value === '' || value === 'default')
    return { upstream, change: { path: compiled, value: null } };
  const result = compileByHand(spec, value);
  if ('problem' in result) throw new ConfigError([`upstreams.${upstream}.${prefix}${result.problem}`]);
  const change = { path: compiled, value: result.value };
  const problems = upstreamChangeProblems(options, change);
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `${path}: ${problem}`));
  return { upstream, change };
}

/** Every path that could have been meant. */
function paths(prefix: string, operations: readonly string[] | undefined): string[] {
  const prefixes = prefix === '' ? (operations ?? []).map((operation) => `operations.${operation}.`) : [prefix];
  return [
    ...[...TRACKER_OPTIONS, ...GATE_OPTIONS, ...RECEIVE_OPTIONS].map((spec) => spec.name),
    ...prefixes.flatMap((start) => OPERATION_OPTIONS.map((spec) => start + spec.name)),
  ];
}
