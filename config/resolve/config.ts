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
import { checkTrackerDefaults, resolveTracker } from './tracker';
import { resolveUpstreams, type ResolvedUpstream, type UpstreamUse } from './upstream';
import { isObject } from '../../workflows/lib/json';
import { NAME_RULE, Reader, type Given } from './given';

export interface ResolvedConfig {
  /** The module it came from, for threads that load it again; absent for a config made in code. */
  path?: string;
  trackers: ResolvedTracker[];
  /** Regens, sweeps and decays. */
  jobs: ResolvedJob[];
  buffers: ResolvedBuffer[];
  activities: ResolvedActivity[];
  /** The ones that it lists, and the ones that anything in it names. Absent: none. */
  upstreams?: ResolvedUpstream[];
  /** The module with the user's workflows: absolute once the config was loaded from a file. */
  workflows?: string;
  dataConverter?: DataConverter;
}

const CONFIG_KEYS = [
  ...['trackers', 'buffers', ...JOB_LISTS, 'activities', 'upstreams', 'workflows', 'dataConverter', 'defaults'],
];

const DEFAULTS_KEYS = ['tracker', 'gate', 'operation', 'buffer', ...JOB_DEFAULTS];

const HEADLINE = 'The config cannot be used:';

/**
 * Resolves a whole config.
 * @throws ConfigError with every problem found, each with its path.
 */
export function resolveConfig(config: ConfigDefinition): ResolvedConfig {
  const problems: string[] = [];
  const whole: unknown = config;
  if (!isObject(whole)) {
    problems.push('the config must be an object: export default defineConfig({ trackers: [ … ] })');
    throw new ConfigError(problems, HEADLINE);
  }
  const given = new Reader(whole, { problems });
  given.onlyKeys(CONFIG_KEYS);
  const defaults = given.inside('defaults');
  defaults.onlyKeys(DEFAULTS_KEYS);
  const trackers = resolveTrackers(given, defaults);
  const taken = new Set(trackers.map((tracker) => tracker.name));
  const buffers = resolveBuffers(config.buffers, defaults.object('buffer'), taken, problems);
  const activities = resolveActivities(config.activities, problems);
  const jobs = resolveJobs(whole, defaults.given, taken, problems);
  if (config.workflows !== undefined && typeof config.workflows !== 'string') {
    given.problem("workflows must be the path of a module, such as './workflows.ts'");
  }
  problems.push(...converterProblems(config.dataConverter));
  checkFeeds(trackers, buffers, problems);
  const upstreams = resolveUpstreams(config.upstreams, usesOf(trackers, whole, activities), problems);
  if (problems.length > 0) throw new ConfigError(problems, HEADLINE);
  const { workflows, dataConverter } = config;
  return { trackers, buffers, jobs, activities, upstreams, workflows, dataConverter };
}

/** Everything that names an upstream. */
function usesOf(trackers: ResolvedTracker[], config: Given, activities: ResolvedActivity[]): UpstreamUse[] {
  const uses: UpstreamUse[] = [];
  for (const { name: tracker, definition } of trackers) {
    const { gate, operations } = definition as { gate?: unknown; operations?: unknown };
    if (isObject(gate)) uses.push({ at: `trackers.${tracker}.gate.upstream`, upstream: gate.upstream, tracker });
    for (const [name, given] of Object.entries(isObject(operations) ? operations : {})) {
      const at = `trackers.${tracker}.operations.${name}.upstream`;
      if (isObject(given)) uses.push({ at, upstream: given.upstream, tracker });
    }
  }
  for (const list of ['buffers', 'sweeps']) {
    const given = config[list];
    for (const one of Array.isArray(given) ? (given as unknown[]) : [])
      if (isObject(one)) uses.push({ at: `${list}.${String(one.name)}.upstream`, upstream: one.upstream });
  }
  for (const { name, definition } of activities)
    uses.push({ at: `activities.${name}.upstream`, upstream: definition.upstream });
  return uses;
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

function resolveTrackers(config: Reader, given: Reader): ResolvedTracker[] {
  const defaults = {
    tracker: given.object('tracker'),
    gate: given.object('gate'),
    operation: given.object('operation'),
  };
  checkTrackerDefaults(defaults, config.problems);

  const list = config.given.trackers;
  const others = ['activities', 'buffers', 'upstreams', ...JOB_LISTS];
  // Anything else alone is enough of a config.
  if (list === undefined && others.some((key) => config.given[key] !== undefined)) return [];
  if (!Array.isArray(list) || list.length === 0) {
    config.problem('trackers must be a list of at least one defineTracker({ … })');
    return [];
  }
  const seen = new Set<string>();
  return list.flatMap((one: unknown, index) => {
    if (!isObject(one)) {
      config.problem(`trackers[${index}] must be an object: defineTracker({ … })`);
      return [];
    }
    const { name } = one;
    if (typeof name !== 'string' || !NAME_PATTERN.test(name)) {
      config.problem(`trackers[${index}].name must be ${NAME_RULE}, not ${JSON.stringify(name) ?? 'missing'}`);
    } else if (seen.has(name)) {
      config.problem(`trackers[${index}].name: there are two trackers named '${name}'`);
    } else {
      seen.add(name);
    }
    return [resolveTracker(one, typeof name === 'string' ? name : `[${index}]`, defaults, config.problems)];
  });
}
