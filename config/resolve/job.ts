/**
 * Regens, sweeps and decays, from what the user wrote to what runs: options compiled and checked against the table of
 * `workflows/job/options.ts`. Whether their SQL can work is only known to the database, which is asked at the start
 * (`activities/job/check.ts`). Called by `config.ts`.
 */
import { Cron } from 'croner';
import {
  specsOf,
  type JobKind,
  type JobOptions,
  type Rule,
  type TableRef,
  type JobWork,
} from '../../workflows/job/options';
import type { ResolvedJob, SweepDefinition } from '../define/job';
import { definitionOf } from '../define/upstream';
import { isObject } from '../../workflows/lib/json';
import { namedOnes, read, Reader, takenByUnit, without, type Given } from './given';
import { errorMessage } from '../../workflows/lib/text';

const COMMON = ['name', 'cron', 'timeZone', 'table', 'key', 'policies'];
const OWN: Record<JobKind, string[]> = {
  regen: ['set', 'rule', 'sql', 'where'],
  decay: ['where', 'moveTo'],
  sweep: ['due', 'order', 'handle', 'upstream', 'retry.backoff'],
};
const LISTS: readonly [list: string, kind: JobKind][] = [
  ['regens', 'regen'],
  ['sweeps', 'sweep'],
  ['decays', 'decay'],
];
/** Far above any sensible expression; it is kept in a row and in the workflow's history. */
const SQL_LENGTH = 20_000;

/** The keys of a config, and of its `defaults`, that are resolved here. */
export const JOB_LISTS: readonly string[] = LISTS.map(([list]) => list);
export const JOB_DEFAULTS: readonly string[] = LISTS.map(([, kind]) => kind);

export function resolveJobs(config: Given, defaults: Given, taken: Set<string>, problems: string[]): ResolvedJob[] {
  return LISTS.flatMap(([list, kind]) => {
    const given = config[list];
    const layer = checkDefaults(kind, new Reader(defaults, { at: 'defaults.', problems }));
    if (given === undefined) return [];
    const made = `define${kind[0]!.toUpperCase()}${kind.slice(1)}({ … })`;
    if (!Array.isArray(given)) {
      problems.push(`${list} must be a list of ${made}`);
      return [];
    }
    const jobs = namedOnes(given, { at: list, made, taken, twice: takenByUnit }, problems);
    return jobs.map((one) => resolveJob(kind, one.name, one.given, layer, `${list}.${one.name}.`, problems));
  });
}

/** Keys and values of `defaults.regen` and the like, whether or not a definition overrides them. */
function checkDefaults(kind: JobKind, defaults: Reader): Given {
  const layer = defaults.inside(kind);
  layer.onlyKeys(without(keysOf(kind), 'name', 'handle', 'upstream'));
  for (const spec of specsOf(kind)) layer.option(spec);
  return layer.given;
}

function resolveJob(
  kind: JobKind,
  name: string,
  own: Given,
  defaults: Given,
  at: string,
  problems: string[],
): ResolvedJob {
  const base = withoutItsSchedule(defaults, own);
  const job = new Reader(own, { at, problems, defaults: base });
  job.onlyKeys(keysOf(kind));
  const values = Object.fromEntries(specsOf(kind).map((spec) => [spec.path, job.option(spec)]));
  const whole = new Reader(merged(base, own), job);
  if (kind === 'sweep') checkRetry(whole);
  const options: JobOptions = {
    kind,
    work: { ...resolveWork(kind, whole), ...policiesOf(whole) },
    schedule: resolveSchedule(whole, (values['schedule.everyMs'] ?? 0) as number),
    missed: values.missed as JobOptions['missed'],
    warnAfterMs: values.warnAfterMs as number,
    heartbeatTimeoutMs: values.heartbeatTimeoutMs as number,
    historyEvents: values.historyEvents as number,
    keep: values.keep as number,
    concurrency: values.concurrency as number,
    chunk: (values.chunk ?? 'auto') as JobOptions['chunk'],
    pace: (values.pace ?? 'yield') as JobOptions['pace'],
    page: (values.page ?? 100) as number,
    timeoutMs: (values.timeoutMs ?? 0) as number,
    retry: {
      attempts: (values['retry.attempts'] ?? 1) as number,
      baseMs: (values['retry.baseMs'] ?? 1_000) as number,
      capMs: (values['retry.capMs'] ?? 1_000) as number,
      jitter: (values['retry.jitter'] ?? true) as boolean,
      backoff: (read(whole.given, 'retry.backoff') ?? 'exponential') as 'exponential',
    },
    sources: job.givenSources(),
  };
  if (kind !== 'sweep') return { name, options };
  if (typeof own.handle !== 'function') job.problem('handle must be a function: async (rows, context) => { … }');
  const { handle, upstream } = own as unknown as SweepDefinition;
  return { name, options, handle, ...(upstream && { upstream: definitionOf(upstream)?.name }) };
}

function resolveSchedule(job: Reader, everyMs: number): JobOptions['schedule'] {
  const { every, cron, timeZone = 'UTC' } = job.given;
  if (cron === undefined) {
    if (every === undefined) job.problem("every is required: how often, such as '5m' (or a cron: '0 4 * * *')");
    if (job.given.timeZone !== undefined) job.problem('timeZone belongs to a cron; an interval has none');
    return { everyMs };
  }
  if (every !== undefined) job.problem('every and cron: one of them only');
  if (typeof cron !== 'string' || typeof timeZone !== 'string') {
    job.problem("cron and timeZone must be text, such as '0 4 * * *' and 'Europe/Berlin'");
    return { everyMs };
  }
  try {
    Intl.DateTimeFormat('en', { timeZone });
    const next = new Cron(cron, { timezone: timeZone, paused: true }).nextRuns(2);
    if (next.length < 2) job.problem(`cron: '${cron}' has no two times to come`);
  } catch (error) {
    job.problem(`cron: '${cron}' in ${timeZone}: ${errorMessage(error)}`);
  }
  return { cron, timeZone };
}

function resolveWork(kind: JobKind, job: Reader): JobWork {
  const { given } = job;
  const table = tableOf(job, 'table');
  const key = resolveKey(job);
  const text = (name: string): string => textOf(job, name);
  const optional = (name: string): string | undefined => (given[name] === undefined ? undefined : text(name));
  if (kind === 'decay') {
    const moveTo = given.moveTo === undefined ? undefined : tableOf(job, 'moveTo');
    return { kind, table, key, where: text('where'), moveTo };
  }
  if (kind === 'sweep') return { kind, table, key, due: text('due'), order: optional('order') };

  const forms = ['set', 'rule', 'sql'].filter((name) => given[name] !== undefined);
  if (forms.length !== 1) {
    const has = forms.join(' and ') || 'none';
    job.problems.push(`${job.at.slice(0, -1)} needs one of set, rule and sql, and has ${has}`);
  }
  if (given.sql !== undefined) {
    if (given.where !== undefined) job.problem('where: write the condition into sql');
    return { kind, table, key, sql: text('sql') };
  }
  const where = optional('where');
  if (given.rule !== undefined) return { kind, table, key, set: {}, where, rule: resolveRule(job.inside('rule')) };
  const set = job.inside('set');
  const columns = Object.keys(set.given);
  if (given.set !== undefined && columns.length === 0) job.problem('set must set at least one column');
  return { kind, table, key, set: Object.fromEntries(columns.map((column) => [column, textOf(set, column)])), where };
}

function policiesOf(job: Reader): { policies?: true } {
  const { policies } = job.given;
  if (policies !== undefined && typeof policies !== 'boolean') job.problem('policies must be true or false');
  return policies === true ? { policies } : {};
}

function resolveRule(rule: Reader): Rule {
  rule.onlyKeys(['column', 'add', 'max', 'min']);
  const part = (name: string): string => {
    const value = rule.given[name];
    return textOf(rule, name, typeof value === 'number' ? String(value) : value);
  };
  const optional = (name: string): string | undefined => (rule.given[name] === undefined ? undefined : part(name));
  return { column: part('column'), add: part('add'), max: optional('max'), min: optional('min') };
}

function resolveKey(job: Reader): string[] | undefined {
  const given = job.given.key;
  if (given === undefined) return undefined;
  const list: unknown[] = Array.isArray(given) ? given : [given];
  if (list.length > 0 && list.every((name) => typeof name === 'string' && name !== '')) return list as string[];
  job.problem('key must be a column, or a list of columns');
  return undefined;
}

function tableOf(job: Reader, name: string): TableRef {
  const given = job.given[name];
  if (typeof given === 'string' && given !== '') {
    const parts = given.split('.');
    if (parts.length === 1) return { name: given };
    if (parts.length === 2 && parts.every((part) => part !== '')) return { schema: parts[0]!, name: parts[1]! };
  } else if (isObject(given) && typeof given.schema === 'string' && typeof given.name === 'string') {
    return { schema: given.schema, name: given.name };
  }
  job.problem(`${name} must be a table: 'player', 'game.player', or { schema: 'game', name: 'player' }`);
  return { name: '' };
}

function textOf(reader: Reader, name: string, given = reader.given[name]): string {
  const long = typeof given === 'string' && given.length > SQL_LENGTH;
  if (typeof given === 'string' && given.trim() !== '' && !long && !given.includes('\0')) return given;
  reader.problem(`${name} must be SQL, as text${long ? `, of at most ${SQL_LENGTH} characters` : ''}`);
  return 'null';
}

function checkRetry(job: Reader): void {
  const retry = job.inside('retry');
  retry.onlyKeys(['attempts', 'backoff', 'base', 'cap', 'jitter']);
  const { backoff } = retry.given;
  if (backoff !== undefined && backoff !== 'constant' && backoff !== 'exponential') {
    retry.problem('backoff must be constant or exponential');
  }
}

function keysOf(kind: JobKind): string[] {
  const names = [...specsOf(kind).map((spec) => spec.name), ...COMMON, ...OWN[kind]];
  return [...new Set(names.map((name) => name.split('.')[0]!))];
}

/** Either of `every` and `cron` replaces both. */
function withoutItsSchedule(defaults: Given, own: Given): Given {
  const hasOne = own.every !== undefined || own.cron !== undefined;
  return hasOne ? { ...defaults, every: undefined, cron: undefined, timeZone: undefined } : defaults;
}

/** The definition over the defaults, `retry` option by option. */
function merged(defaults: Given, own: Given): Given {
  const retry = isObject(defaults.retry) && isObject(own.retry) ? { retry: { ...defaults.retry, ...own.retry } } : {};
  return { ...defaults, ...own, ...retry };
}
