/**
 * From what the user wrote to what runs: each option's value is the definition's, else the `defaults`', else the
 * built-in one, compiled (durations in milliseconds) and checked against the tables of `workflows/tracker/options`.
 * Called by `load.ts`; the result goes to the worker, and its `options` become workflow input and a row.
 */
import type { DataConverter } from '@temporalio/common';
import {
  defaultMaxExpiryMs,
  GATE_OPTIONS,
  OPERATION_OPTIONS,
  TRACKER_OPTIONS,
  type OperationOptions,
  type TrackerOptions,
} from '../../workflows/tracker/options';
import type { ResolvedActivity } from './activity';
import type { ConfigDefinition, TrackerDefinition } from './definition';
import { converterProblems } from './data-converter';
import { ConfigError } from './errors';
import type { ResolvedJob } from './population';
import { resolveActivities } from './resolve-activities';
import { JOB_DEFAULTS, JOB_LISTS, resolveJobs } from './resolve-population';
import { resolveBuffers, type ResolvedBuffer } from './resolve-buffers';
import { didYouMean } from './suggest';
import { compileValue, type OptionValue } from './values';
import { NAME_PATTERN, type OptionSpec } from '../../workflows/lib/options';

/** Who gave an option its value. `config` shows it, and adds `set` for what was changed by hand. */
export type OptionSource = 'default' | 'defaults' | 'definition';

export interface ResolvedTracker {
  name: string;
  /** Compiled, plain JSON. */
  options: TrackerOptions;
  /** By compiled path: `poolSize`, `gate.everyMs`, `operations.location.everyMs`. */
  sources: Record<string, OptionSource>;
  /** The code: `gate.check`, `onError` (or that of `defaults`), and each operation's `run`. */
  definition: TrackerDefinition;
}

export interface ResolvedConfig {
  /** The module it came from, for threads that load it again; absent for a config made in code. */
  path?: string;
  trackers: ResolvedTracker[];
  /** Regens, sweeps and decays. */
  jobs: ResolvedJob[];
  buffers: ResolvedBuffer[];
  activities: ResolvedActivity[];
  /** The module with the user's workflows: absolute once the config was loaded from a file. */
  workflows?: string;
  dataConverter?: DataConverter;
}

type Given = Record<string, unknown>;

const CONFIG_KEYS = ['trackers', 'buffers', ...JOB_LISTS, 'activities', 'workflows', 'dataConverter', 'defaults'];
const DEFAULTS_KEYS = ['tracker', 'gate', 'operation', 'buffer', ...JOB_DEFAULTS];
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
const without = (keys: string[], ...left: string[]): string[] => keys.filter((key) => !left.includes(key));

/**
 * Resolves a whole config.
 * @throws ConfigError with every problem found, each with its path.
 */
export function resolveConfig(config: ConfigDefinition): ResolvedConfig {
  const problems: string[] = [];
  const resolved = isObject(config) ? resolveAll(config, problems) : [];
  const buffers = isObject(config) ? resolveBuffers(config.buffers, bufferDefaults(config), problems) : [];
  const activities = isObject(config) ? resolveActivities(config.activities, problems) : [];
  const names = resolved.map((tracker) => tracker.name);
  const jobs = isObject(config) ? resolveJobs(config, objectAt(config, 'defaults', '', []), names, problems) : [];
  if (isObject(config) && config.workflows !== undefined && typeof config.workflows !== 'string') {
    problems.push("workflows must be the path of a module, such as './workflows.ts'");
  }
  if (isObject(config)) problems.push(...converterProblems(config.dataConverter));
  checkFeeds(resolved, buffers, problems);
  if (!isObject(config))
    problems.push('the config must be an object: export default defineConfig({ trackers: [ … ] })');
  if (problems.length > 0) throw new ConfigError(problems, 'The config cannot be used:');
  return {
    trackers: resolved,
    buffers,
    jobs,
    activities,
    workflows: config.workflows,
    dataConverter: config.dataConverter,
  };
}

/** Operations name buffers that are there. */
function checkFeeds(trackers: ResolvedTracker[], buffers: ResolvedBuffer[], problems: string[]): void {
  const names = buffers.map((buffer) => buffer.name);
  for (const { name, definition } of trackers) {
    const operations: unknown = definition.operations;
    for (const [operation, given] of Object.entries(isObject(operations) ? operations : {})) {
      const buffer = isObject(given) ? given.buffer : undefined;
      if (buffer === undefined || (typeof buffer === 'string' && names.includes(buffer))) continue;
      const word = typeof buffer === 'string' ? buffer : (JSON.stringify(buffer) ?? 'a function');
      const hint = didYouMean(word, names);
      problems.push(`trackers.${name}.operations.${operation}.buffer: there is no buffer '${word}'${hint}`);
    }
  }
}

/** Its shape is checked with the other `defaults`. */
function bufferDefaults(config: Given): Given {
  return isObject(config.defaults) ? objectAt(config.defaults, 'buffer', 'defaults.', []) : {};
}

function resolveAll(config: Given, problems: string[]): ResolvedTracker[] {
  checkKeys(config, CONFIG_KEYS, '', problems);
  const defaults = objectAt(config, 'defaults', '', problems);
  checkKeys(defaults, DEFAULTS_KEYS, 'defaults.', problems);
  const layers = {
    tracker: objectAt(defaults, 'tracker', 'defaults.', problems),
    gate: objectAt(defaults, 'gate', 'defaults.', problems),
    operation: objectAt(defaults, 'operation', 'defaults.', problems),
  };
  objectAt(defaults, 'buffer', 'defaults.', problems);
  checkDefaults(layers, problems);

  const list = config.trackers;
  // Anything else alone is enough of a config.
  if (list === undefined && ['activities', 'buffers', ...JOB_LISTS].some((key) => config[key] !== undefined)) return [];
  if (!Array.isArray(list) || list.length === 0) {
    problems.push('trackers must be a list of at least one defineTracker({ … })');
    return [];
  }
  const seen = new Set<string>();
  return list.flatMap((given: unknown, index) => {
    if (!isObject(given)) {
      problems.push(`trackers[${index}] must be an object: defineTracker({ … })`);
      return [];
    }
    const name = given.name;
    if (typeof name !== 'string' || !NAME_PATTERN.test(name)) {
      problems.push(`trackers[${index}].name must be ${NAME_RULE}, not ${JSON.stringify(name) ?? 'missing'}`);
    } else if (seen.has(name)) {
      problems.push(`trackers[${index}].name: there are two trackers named '${name}'`);
    } else {
      seen.add(name);
    }
    return [resolveTracker(given, typeof name === 'string' ? name : `[${index}]`, layers, problems)];
  });
}

const NAME_RULE = 'a name (a small letter, then letters, digits, - or _, at most 63 characters)';

interface Layers {
  tracker: Given;
  gate: Given;
  operation: Given;
}

function resolveTracker(given: Given, name: string, layers: Layers, problems: string[]): ResolvedTracker {
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

/** The first layer's value that is there, else the built-in default; notes who gave it. Null: none. */
function pick(
  spec: OptionSpec,
  key: string,
  layers: [definition: Given, defaults: Given],
  at: string,
  path: string,
  sources: Record<string, OptionSource>,
  problems: string[],
): OptionValue | null {
  for (const [index, layer] of layers.entries()) {
    const given = read(layer, key);
    if (given === undefined) continue;
    sources[path] = index === 0 ? 'definition' : 'defaults';
    const compiled = compileValue(spec, given);
    if ('value' in compiled) return compiled.value;
    // What `defaults` has wrong is reported once, by checkDefaults, not once a tracker.
    if (index === 0) problems.push(`${at}${compiled.problem}`);
    return spec.default ?? 0;
  }
  sources[path] = 'default';
  return spec.default ?? null;
}

/** Keys and values of `defaults`, whether or not a definition overrides them. */
function checkDefaults(layers: Layers, problems: string[]): void {
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

function checkKeys(given: Given, known: string[], at: string, problems: string[]): void {
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) problems.push(`${at}${key} is not an option${didYouMean(key, known)}`);
  }
}

function checkFunction(given: Given, key: string, at: string, problems: string[]): void {
  if (given[key] !== undefined && typeof given[key] !== 'function') problems.push(`${at}${key} must be a function`);
}

function objectAt(given: Given, key: string, at: string, problems: string[]): Given {
  const value = given[key];
  if (value === undefined) return {};
  if (isObject(value)) return value;
  problems.push(`${at}${key} must be an object`);
  return {};
}

/** `read({ stagger: { base: 1 } }, 'stagger.base')` is 1; undefined where something on the way is missing. */
function read(given: Given, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), given);
}

function isObject(value: unknown): value is Given {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
