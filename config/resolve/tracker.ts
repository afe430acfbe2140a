import {
  defaultMaxExpiryMs,
  GATE_OPTIONS,
  OPERATION_OPTIONS,
  TRACKER_OPTIONS,
  type OperationOptions,
  type TrackerOptions,
} from '../../workflows/tracker/options';
import type { TrackerDefinition } from '../define/tracker';
import { didYouMean } from '../suggest';
import { compileValue, type OptionValue } from '../values';
import { NAME_PATTERN, type OptionSpec } from '../../workflows/lib/options';
import type { Given, OptionSource } from './given';
import { without, pick, checkKeys, checkFunction, objectAt, read, isObject } from './given';

export interface ResolvedTracker {
  name: string;
  /** Compiled, plain JSON. */
  options: TrackerOptions;
  /** By compiled path: `poolSize`, `gate.everyMs`, `operations.location.everyMs`. */
  sources: Record<string, OptionSource>;
  /** The code: `gate.check`, `onError` (or that of `defaults`), and each operation's `run`. */
  definition: TrackerDefinition;
}

const TRACKER_KEYS = [...TRACKER_OPTIONS.map((spec) => spec.name), 'name', 'gate', 'operations', 'onError'];
const GATE_KEYS = [...GATE_OPTIONS.map((spec) => spec.name.slice('gate.'.length)), 'check'];
const OPERATION_KEYS = [
  ...new Set(OPERATION_OPTIONS.map((spec) => spec.name.split('.')[0]!)),
  'buffer',
  'version',
  'run',
  'whenClosed',
];
const GATE_SPECS = GATE_OPTIONS.map((spec) => ({ spec, key: spec.name.slice('gate.'.length) }));
export const NAME_RULE = 'a name (a small letter, then letters, digits, - or _, at most 63 characters)';

interface Layers {
  tracker: Given;
  gate: Given;
  operation: Given;
}

export function resolveTracker(given: Given, name: string, layers: Layers, problems: string[]): ResolvedTracker {
  const at = `trackers.${name}.`;
  const sources: Record<string, OptionSource> = {};
  checkKeys(given, TRACKER_KEYS, at, problems);
  const options: Given = {};
  for (const spec of TRACKER_OPTIONS) {
    options[spec.path] = pick(spec, spec.name, [given, layers.tracker], at, spec.path, sources, problems);
  }
  checkFunction(given, 'onError', at, problems);

  options.gate = null;
  if (given.gate !== undefined) {
    const gate = objectAt(given, 'gate', at, problems);
    checkKeys(gate, GATE_KEYS, `${at}gate.`, problems);
    if (isObject(given.gate) && typeof gate.check !== 'function')
      problems.push(`${at}gate.check must be a function that answers true or false`);
    const compiled: Given = {};
    for (const { spec, key } of GATE_SPECS) {
      const value = pick(spec, key, [gate, layers.gate], at, spec.path, sources, problems);
      compiled[spec.path.slice('gate.'.length)] = value;
    }
    options.gate = compiled;
  }

  const operations = objectAt(given, 'operations', at, problems);
  const names = Object.keys(operations);
  if (names.length === 0) problems.push(`${at}operations must have at least one operation`);
  const compiled: Record<string, OperationOptions> = {};
  for (const operation of names) {
    const where = `${at}operations.${operation}`;
    if (!NAME_PATTERN.test(operation)) problems.push(`${where}: its name must be ${NAME_RULE}`);
    const value = operations[operation];
    if (!isObject(value)) problems.push(`${where} must be an object: { every: '1s', run: … }`);
    else compiled[operation] = resolveOperation(value, operation, names, layers.operation, at, sources, problems);
  }
  options.operations = compiled;

  // Kept with the options, so that `config` can say it without the config module.
  options.sources = Object.fromEntries(Object.entries(sources).filter(([, source]) => source !== 'default'));

  const definition = given as unknown as TrackerDefinition;
  const onError = definition.onError ?? (layers.tracker.onError as TrackerDefinition['onError']);
  return {
    name,
    options: options as unknown as TrackerOptions,
    sources,
    definition: onError === undefined ? definition : { ...definition, onError },
  };
}

function resolveOperation(
  given: Given,
  name: string,
  names: string[],
  defaults: Given,
  tracker: string,
  sources: Record<string, OptionSource>,
  problems: string[],
): OperationOptions {
  const at = `${tracker}operations.${name}.`;
  checkKeys(given, OPERATION_KEYS, at, problems);
  checkNested(given, at, problems);
  if (typeof given.run !== 'function') problems.push(`${at}run must be a function: async (context) => ({ value })`);
  checkFunction(given, 'whenClosed', at, problems);
  const { version = 1 } = given;
  if (!Number.isSafeInteger(version) || (version as number) < 1)
    problems.push(
      `${at}version must be a whole number from 1 on: raise it when the code makes something else of an answer`,
    );

  const values: Record<string, OptionValue | null> = {};
  for (const spec of OPERATION_OPTIONS) {
    const path = `operations.${name}.${spec.path}`;
    const value = pick(spec, spec.name, [given, defaults], at, path, sources, problems);
    if (value === null && spec.default === undefined && spec.derived === undefined) {
      problems.push(`${at}${spec.name} is required: how often, such as '1s'`);
    }
    values[spec.path] = value;
  }

  const skip = resolveSkip(given, values, name, names, at, sources, problems);
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
    skipWhile: skip,
    warnLagMs: values.warnLagMs as number,
    warnBacklog: values.warnBacklog as number,
    maxExpiryMs: (values.maxExpiryMs ?? defaultMaxExpiryMs(values.everyMs as number)) as number,
    maxHoldMs: values.maxHoldMs as number,
    maxBackoffMs: values.maxBackoffMs as number,
    // Absent where it is 1, as in what was declared before there were versions.
    ...(version === 1 ? {} : { version: version as number }),
  };
}

function resolveSkip(
  given: Given,
  values: Record<string, OptionValue | null>,
  name: string,
  names: string[],
  at: string,
  sources: Record<string, OptionSource>,
  problems: string[],
): OperationOptions['skipWhile'] {
  const operation = values['skipWhile.operation'];
  const own = isObject(given.skipWhile) ? given.skipWhile : undefined;
  if (typeof operation !== 'string') {
    if (own && own.operation === undefined) {
      problems.push(`${at}skipWhile.operation is required: the operation to give way to`);
    }
    return null;
  }
  if (operation === name) {
    if (own?.operation !== undefined) {
      problems.push(`${at}skipWhile.operation must name another operation, not itself`);
    }
    // A `defaults` that makes every operation give way to one of them does not mean that one itself.
    sources[`operations.${name}.skipWhile.operation`] = 'default';
    return null;
  }
  if (!names.includes(operation)) {
    const hint = didYouMean(operation, without(names, name));
    problems.push(`${at}skipWhile.operation: there is no operation '${operation}'${hint}`);
  }
  return { operation, slowerThanMs: values['skipWhile.slowerThanMs'] as number };
}

/** Keys and values of `defaults`, whether or not a definition overrides them. */
export function checkDefaults(layers: Layers, problems: string[]): void {
  const check = (layer: Given, keys: string[], at: string, specs: { spec: OptionSpec; key: string }[]): void => {
    checkKeys(layer, keys, at, problems);
    for (const { spec, key } of specs) {
      const given = read(layer, key);
      const compiled = given === undefined ? undefined : compileValue(spec, given);
      if (compiled && 'problem' in compiled) problems.push(`${at}${compiled.problem.replace(spec.name, key)}`);
    }
  };
  const named = (specs: readonly OptionSpec[]) => specs.map((spec) => ({ spec, key: spec.name }));
  const trackerKeys = without(TRACKER_KEYS, 'name', 'gate', 'operations');
  check(layers.tracker, trackerKeys, 'defaults.tracker.', named(TRACKER_OPTIONS));
  checkFunction(layers.tracker, 'onError', 'defaults.tracker.', problems);
  check(layers.gate, without(GATE_KEYS, 'check'), 'defaults.gate.', GATE_SPECS);
  checkNested(layers.operation, 'defaults.operation.', problems);
  const operationKeys = without(OPERATION_KEYS, 'buffer', 'version', 'run', 'whenClosed');
  check(layers.operation, operationKeys, 'defaults.operation.', named(OPERATION_OPTIONS));
}

/** `stagger` and `skipWhile`: objects, with known keys only. */
function checkNested(given: Given, at: string, problems: string[]): void {
  for (const group of ['stagger', 'skipWhile']) {
    if (given[group] === undefined) continue;
    const keys = OPERATION_OPTIONS.flatMap((spec) =>
      spec.name.startsWith(`${group}.`) ? [spec.name.split('.')[1]!] : [],
    );
    checkKeys(objectAt(given, group, at, problems), keys, `${at}${group}.`, problems);
  }
}
