/**
 * Trackers, from what the user wrote to what runs: compiled options, checked against the tables of
 * `workflows/tracker/options.ts`. Called by `config.ts`; the options go to the tracker's root workflow at `start`, the
 * code to the shifts.
 */
import {
  defaultMaxExpiryMs,
  GATE_OPTIONS,
  OPERATION_OPTIONS,
  TRACKER_OPTIONS,
  type OperationOptions,
  type TrackerOptions,
} from '../../workflows/tracker/options';
import { NAME_PATTERN, type OptionSpec } from '../../workflows/lib/options';
import type { TrackerDefinition } from '../define/tracker';
import { didYouMean } from '../suggest';
import { compileValue, type OptionValue } from '../values';
import { isObject } from '../../workflows/lib/json';
import { NAME_RULE, read, Reader, without, type Given, type OptionSource } from './given';
import { checkApply, checkReceiveDefaults, LIFE_KEYS, receives, resolveReceive } from './member';

export interface ResolvedTracker {
  name: string;
  /** Compiled, plain JSON. */
  options: TrackerOptions;
  /** By compiled path: `poolSize`, `gate.everyMs`, `operations.location.everyMs`. */
  sources: Record<string, OptionSource>;
  /** The code: `gate.check`, `onError` (or that of `defaults`), each operation's `run`, `receive`, `load`, `unload`. */
  definition: TrackerDefinition;
}

/** Options of a group (`placement`) stand in an object. */
const TRACKER_KEYS = [
  ...new Set(TRACKER_OPTIONS.map((spec) => spec.name.split('.')[0]!)),
  ...['name', 'gate', 'operations', 'route', 'onError'],
  ...LIFE_KEYS,
];
const GATE_KEYS = [...GATE_OPTIONS.map((spec) => spec.name.slice('gate.'.length)), 'check', 'upstream'];
const OPERATION_KEYS = [
  ...new Set(OPERATION_OPTIONS.map((spec) => spec.name.split('.')[0]!)),
  'buffer',
  'upstream',
  'version',
  'run',
  'whenClosed',
  'retryDelay',
  'codec',
  'hidden',
  'apply',
  'while',
];
/** Code that `defaults` may have too. */
const TRACKER_CODE = ['onError', 'route'];
const OPERATION_CODE = ['retryDelay', 'codec'];
const TRACKER_GROUPS = groupsOf(TRACKER_OPTIONS);
const OPERATION_GROUPS = groupsOf(OPERATION_OPTIONS);
const GATE_SPECS = GATE_OPTIONS.map((spec) => ({ spec, key: spec.name.slice('gate.'.length) }));

/** The parts of `defaults` that are for trackers. */
export interface TrackerDefaults {
  tracker: Given;
  gate: Given;
  operation: Given;
}

export function resolveTracker(
  given: Given,
  name: string,
  defaults: TrackerDefaults,
  problems: string[],
): ResolvedTracker {
  const sources: Record<string, OptionSource> = {};
  const tracker = new Reader(given, { at: `trackers.${name}.`, problems, defaults: defaults.tracker, sources });
  tracker.onlyKeys(TRACKER_KEYS);
  const { 'placement.on': on, ...options } = readTrackerOptions(tracker);
  options.placement = { on };
  tracker.optionalFunction('onError');
  const route = resolveRoute(tracker, given.route === undefined ? defaults.tracker.route : given.route);
  if (route !== undefined) options.route = route;
  options.gate = given.gate === undefined ? null : resolveGate(tracker, defaults.gate);
  options.operations = resolveOperations(tracker, defaults.operation);
  const receive = resolveReceive(tracker);
  if (receive) options.receive = receive;
  options.sources = tracker.givenSources();

  return { name, options: options as unknown as TrackerOptions, sources, definition: withDefaultCode(given, defaults) };
}

/** The definition with the code of `defaults` that it has none of its own for. */
function withDefaultCode(given: Given, defaults: TrackerDefaults): TrackerDefinition {
  const operations = isObject(given.operations) ? given.operations : {};
  const [ofTracker, ofOperation] = [picked(defaults.tracker, TRACKER_CODE), picked(defaults.operation, OPERATION_CODE)];
  let definition: Given = given;
  if (Object.keys(ofTracker).length > 0) definition = { ...ofTracker, ...given };
  if (Object.keys(ofOperation).length > 0) {
    const whole = Object.entries(operations).map(([name, own]) => [
      name,
      isObject(own) ? { ...ofOperation, ...own } : own,
    ]);
    definition = { ...definition, operations: Object.fromEntries(whole) as Given };
  }
  return definition as unknown as TrackerDefinition;
}

const picked = (from: Given, keys: readonly string[]): Given =>
  Object.fromEntries(keys.flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]])));

/** By compiled path. */
function readTrackerOptions(tracker: Reader): Given {
  checkNested(tracker, TRACKER_GROUPS);
  return Object.fromEntries(TRACKER_OPTIONS.map((spec) => [spec.path, tracker.option(spec)]));
}

/** @returns its name; undefined: there is none */
function resolveRoute(tracker: Reader, given: unknown): string | undefined {
  if (given === undefined) return undefined;
  const example = "route must be { name: 'by-corporation', of: (id) => text }";
  if (!isObject(given)) {
    tracker.problem(example);
    return undefined;
  }
  const route = tracker.over('route', given);
  route.onlyKeys(['name', 'of']);
  if (typeof given.name !== 'string' || !NAME_PATTERN.test(given.name)) route.problem(`name must be ${NAME_RULE}`);
  if (typeof given.of !== 'function') tracker.problem(example);
  return String(given.name);
}

function resolveGate(tracker: Reader, defaults: Given): Given {
  const gate = tracker.inside('gate', defaults);
  gate.onlyKeys(GATE_KEYS);
  if (isObject(tracker.given.gate) && typeof gate.given.check !== 'function')
    gate.problem('check must be a function that answers true or false');
  // A message names the option with its group, so it stands where the tracker does.
  const named = new Reader(gate.given, { at: tracker.at, problems: gate.problems, defaults, sources: gate.sources });
  return Object.fromEntries(
    GATE_SPECS.map(({ spec, key }) => [spec.path.slice('gate.'.length), named.option(spec, key)]),
  );
}

function resolveOperations(tracker: Reader, defaults: Given): Record<string, OperationOptions> {
  const operations = tracker.object('operations');
  const names = Object.keys(operations);
  if (names.length === 0 && !receives(tracker.given)) tracker.problem('operations must have at least one operation');
  const compiled: Record<string, OperationOptions> = {};
  for (const name of names) {
    const where = `operations.${name}`;
    if (!NAME_PATTERN.test(name)) tracker.problem(`${where}: its name must be ${NAME_RULE}`);
    const value = operations[name];
    if (!isObject(value)) tracker.problem(`${where} must be an object: { every: '1s', run: … }`);
    else {
      const operation = tracker.over(where, value, defaults);
      compiled[name] = {
        ...resolveOperation(operation, name, names),
        ...checkApply(operation, receives(tracker.given)),
      };
    }
  }
  return compiled;
}

/** @param names of all operations of the tracker */
function resolveOperation(operation: Reader, name: string, names: string[]): OperationOptions {
  const { given } = operation;
  operation.onlyKeys(OPERATION_KEYS);
  checkNested(operation, OPERATION_GROUPS);
  if (typeof given.run !== 'function') operation.problem('run must be a function: async (context) => ({ value })');
  operation.optionalFunction('whenClosed');
  operation.optionalFunction('retryDelay');
  const { version = 1 } = given;
  if (!Number.isSafeInteger(version) || (version as number) < 1)
    operation.problem(
      'version must be a whole number from 1 on: raise it when the code makes something else of an answer',
    );

  const values: Record<string, OptionValue | null> = {};
  for (const spec of OPERATION_OPTIONS) {
    const value = operation.option(spec, spec.name, `operations.${name}.${spec.path}`);
    if (value === null && spec.default === undefined && spec.derived === undefined) {
      operation.problem(`${spec.name} is required: how often, such as '1s'`);
    }
    values[spec.path] = value;
  }

  return {
    everyMs: values.everyMs as number,
    concurrency: values.concurrency as number,
    timeoutMs: values.timeoutMs as number,
    stagger: {
      baseMs: values['stagger.baseMs'] as number,
      // Spread over the whole interval unless told otherwise, so that a pool's members are never all due at once.
      windowMs: (values['stagger.windowMs'] ?? values.everyMs) as number,
    },
    gated: values.gated as boolean,
    enabled: values.enabled as boolean,
    isolate: values.isolate as boolean,
    skipWhile: resolveSkip(operation, values, name, names),
    warnLagMs: values.warnLagMs as number,
    warnBacklog: values.warnBacklog as number,
    maxExpiryMs: (values.maxExpiryMs ?? defaultMaxExpiryMs(values.everyMs as number)) as number,
    maxHoldMs: values.maxHoldMs as number,
    maxBackoffMs: values.maxBackoffMs as number,
    // Absent where it is 1, as in what was declared before there were versions.
    ...(version === 1 ? {} : { version: version as number }),
    ...resolveCodec(operation),
    ...resolveHidden(operation),
  };
}

/** Absent where its values are shown. */
function resolveHidden(operation: Reader): { hidden?: true } {
  const { hidden } = operation.given;
  if (hidden !== undefined && typeof hidden !== 'boolean') operation.problem('hidden must be true or false');
  return hidden === true ? { hidden } : {};
}

/** @returns its name, where there is one */
function resolveCodec(operation: Reader): { codec?: string } {
  const given = operation.first('codec')?.value;
  if (given === undefined) return {};
  const codec = operation.over('codec', isObject(given) ? given : {});
  codec.onlyKeys(['name', 'encode', 'decode']);
  const { name, encode, decode } = codec.given;
  if (typeof encode !== 'function' || typeof decode !== 'function')
    operation.problem("codec must be { name: 'gzip', encode: (value) => json, decode: (json) => value }");
  else if (typeof name !== 'string' || !NAME_PATTERN.test(name)) codec.problem(`name must be ${NAME_RULE}`);
  return { codec: String(name) };
}

function resolveSkip(
  reader: Reader,
  values: Record<string, OptionValue | null>,
  name: string,
  names: string[],
): OperationOptions['skipWhile'] {
  const operation = values['skipWhile.operation'];
  const own = isObject(reader.given.skipWhile) ? reader.given.skipWhile : undefined;
  if (typeof operation !== 'string') {
    if (own && own.operation === undefined) {
      reader.problem('skipWhile.operation is required: the operation to give way to');
    }
    return null;
  }
  if (operation === name) {
    if (own?.operation !== undefined) reader.problem('skipWhile.operation must name another operation, not itself');
    // A `defaults` that makes every operation give way to one of them does not mean that one itself.
    reader.sources[`operations.${name}.skipWhile.operation`] = 'default';
    return null;
  }
  if (!names.includes(operation)) {
    const hint = didYouMean(operation, without(names, name));
    reader.problem(`skipWhile.operation: there is no operation '${operation}'${hint}`);
  }
  return { operation, slowerThanMs: values['skipWhile.slowerThanMs'] as number };
}

/** Keys and values of `defaults`, whether or not a definition overrides them. */
export function checkTrackerDefaults(defaults: TrackerDefaults, problems: string[]): void {
  const check = (layer: Given, keys: string[], at: string, specs: { spec: OptionSpec; key: string }[]): Reader => {
    const reader = new Reader(layer, { at, problems });
    reader.onlyKeys(keys);
    for (const { spec, key } of specs) {
      const given = read(layer, key);
      const compiled = given === undefined ? undefined : compileValue(spec, given);
      if (compiled && 'problem' in compiled) reader.problem(compiled.problem.replace(spec.name, key));
    }
    return reader;
  };
  const named = (specs: readonly OptionSpec[]) => specs.map((spec) => ({ spec, key: spec.name }));
  const trackerKeys = without(TRACKER_KEYS, 'name', 'gate', 'operations', 'state', 'load', 'unload');
  const tracker = check(defaults.tracker, trackerKeys, 'defaults.tracker.', named(TRACKER_OPTIONS));
  tracker.optionalFunction('onError');
  resolveRoute(tracker, defaults.tracker.route);
  checkNested(tracker, TRACKER_GROUPS);
  checkReceiveDefaults(tracker);
  check(defaults.gate, without(GATE_KEYS, 'check', 'upstream'), 'defaults.gate.', GATE_SPECS);
  const operationKeys = without(
    OPERATION_KEYS,
    'buffer',
    'upstream',
    'version',
    'run',
    'whenClosed',
    'hidden',
    'apply',
    'while',
  );
  const operation = check(defaults.operation, operationKeys, 'defaults.operation.', named(OPERATION_OPTIONS));
  operation.optionalFunction('retryDelay');
  resolveCodec(operation);
  checkNested(operation, OPERATION_GROUPS);
}

/** The keys of each group of options: `stagger` has `base` and `window`. */
function groupsOf(specs: readonly OptionSpec[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { name } of specs) {
    const [group, key] = name.split('.') as [string, string?];
    if (key !== undefined) groups.set(group, [...(groups.get(group) ?? []), key]);
  }
  return groups;
}

/** Options of a group (`stagger`, `skipWhile`) stand in an object, with known keys only. */
function checkNested(reader: Reader, groups: ReadonlyMap<string, string[]>): void {
  for (const [group, keys] of groups) reader.inside(group).onlyKeys(keys);
}
