/**
 * From a config module's default export to what workers and clients use: each definition resolved, and every problem
 * found in one error. Called by `config/load.ts` and by programs; the parts are in the other files of this folder.
 */
import type { DataConverter } from '@temporalio/common';
import type { ResolvedActivity } from '../define/activity';
import { converterProblems } from '../data-converter';
import { ConfigError } from '../errors';
import type { ResolvedJob } from '../define/job';
import { resolveActivities } from './activity';
import { JOB_DEFAULTS, JOB_LISTS, resolveJobs } from './job';
import { resolveBuffers, type ResolvedBuffer } from './buffer';
import { didYouMean } from '../suggest';
import { NAME_PATTERN } from '../../workflows/lib/options';
import type { ConfigDefinition } from '../define/config';
import type { ResolvedTracker } from './tracker';
import { NAME_RULE, resolveTracker, checkDefaults } from './tracker';
import type { Given } from './given';
import { checkKeys, objectAt, isObject } from './given';

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

export const CONFIG_KEYS = [
  'trackers',
  'buffers',
  ...JOB_LISTS,
  'activities',
  'workflows',
  'dataConverter',
  'defaults',
];

export const DEFAULTS_KEYS = ['tracker', 'gate', 'operation', 'buffer', ...JOB_DEFAULTS];

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
export function checkFeeds(trackers: ResolvedTracker[], buffers: ResolvedBuffer[], problems: string[]): void {
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
export function bufferDefaults(config: Given): Given {
  return isObject(config.defaults) ? objectAt(config.defaults, 'buffer', 'defaults.', []) : {};
}

export function resolveAll(config: Given, problems: string[]): ResolvedTracker[] {
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
