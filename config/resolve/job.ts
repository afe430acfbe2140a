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
import { checkKeys, isObject, objectAt, read, without, type Given } from './given';
import { compileValue, type OptionValue } from '../values';
import { NAME_PATTERN } from '../../workflows/lib/options';
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

export function resolveJobs(
  config: Given,
  defaults: Given,
  taken: readonly string[],
  problems: string[],
): ResolvedJob[] {
  const seen = new Set(taken);
  return LISTS.flatMap(([list, kind]) => {
    const given = config[list];
    const layer = objectAt(defaults, kind, 'defaults.', problems);
    checkKeys(layer, without(keysOf(kind), 'name', 'handle', 'upstream'), `defaults.${kind}.`, problems);
    if (given === undefined) return [];
    if (!Array.isArray(given)) {
      problems.push(`${list} must be a list of define${kind[0]!.toUpperCase()}${kind.slice(1)}({ … })`);
      return [];
    }
    return given.flatMap((one: unknown, index) => {
      if (!isObject(one)) {
        problems.push(`${list}[${index}] must be an object`);
        return [];
      }
      const { name } = one;
      if (typeof name !== 'string' || !NAME_PATTERN.test(name)) {
        const rule = 'a name (a small letter, then letters, digits, - or _, at most 63 characters)';
        problems.push(`${list}[${index}].name must be ${rule}, not ${JSON.stringify(name) ?? 'missing'}`);
        return [];
      }
      if (seen.has(name)) problems.push(`${list}.${name}: there is another tracker or job named '${name}'`);
      seen.add(name);
      return [resolveJob(kind, name, one, layer, `${list}.${name}.`, problems)];
    });
  });
}

function resolveJob(
  kind: JobKind,
  name: string,
  own: Given,
  defaults: Given,
  at: string,
  problems: string[],
): ResolvedJob {
  checkKeys(own, keysOf(kind), at, problems);
  const given = merged(defaults, own);
  const values: Record<string, OptionValue> = {};
  const sources: NonNullable<JobOptions['sources']> = {};
  for (const spec of specsOf(kind)) {
    const value = read(given, spec.name);
    if (value !== undefined) sources[spec.path] = read(own, spec.name) === undefined ? 'defaults' : 'definition';
    const compiled = value === undefined ? undefined : compileValue(spec, value);
    if (compiled && 'problem' in compiled) problems.push(`${at}${compiled.problem}`);
    values[spec.path] = compiled && 'value' in compiled ? compiled.value : (spec.default ?? 0);
  }
  if (kind === 'sweep') checkRetry(given, at, problems);
  const backoff = read(given, 'retry.backoff') ?? 'exponential';
  const options: JobOptions = {
    kind,
    work: { ...resolveWork(kind, given, at, problems), ...policiesOf(given, at, problems) },
    schedule: resolveSchedule(given, values['schedule.everyMs'] as number, at, problems),
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
      backoff: backoff as 'exponential',
    },
    sources,
  };
  if (kind !== 'sweep') return { name, options };
  if (typeof own.handle !== 'function') problems.push(`${at}handle must be a function: async (rows, context) => { … }`);
  const { handle, upstream } = own as unknown as SweepDefinition;
  return { name, options, handle, ...(upstream && { upstream: definitionOf(upstream)?.name }) };
}

function resolveSchedule(given: Given, everyMs: number, at: string, problems: string[]): JobOptions['schedule'] {
  const { every, cron, timeZone = 'UTC' } = given;
  if (cron === undefined) {
    if (every === undefined) problems.push(`${at}every is required: how often, such as '5m' (or a cron: '0 4 * * *')`);
    if (given.timeZone !== undefined) problems.push(`${at}timeZone belongs to a cron; an interval has none`);
    return { everyMs };
  }
  if (every !== undefined) problems.push(`${at}every and cron: one of them only`);
  if (typeof cron !== 'string' || typeof timeZone !== 'string') {
    problems.push(`${at}cron and timeZone must be text, such as '0 4 * * *' and 'Europe/Berlin'`);
    return { everyMs };
  }
  try {
    Intl.DateTimeFormat('en', { timeZone });
    const next = new Cron(cron, { timezone: timeZone, paused: true }).nextRuns(2);
    if (next.length < 2) problems.push(`${at}cron: '${cron}' has no two times to come`);
  } catch (error) {
    problems.push(`${at}cron: '${cron}' in ${timeZone}: ${errorMessage(error)}`);
  }
  return { cron, timeZone };
}

function resolveWork(kind: JobKind, given: Given, at: string, problems: string[]): JobWork {
  const table = tableOf(given.table, `${at}table`, problems);
  const key = resolveKey(given.key, at, problems);
  const text = (name: string): string => textOf(given[name], `${at}${name}`, problems);
  const optional = (name: string): string | undefined => (given[name] === undefined ? undefined : text(name));
  if (kind === 'decay') {
    const moveTo = given.moveTo === undefined ? undefined : tableOf(given.moveTo, `${at}moveTo`, problems);
    return { kind, table, key, where: text('where'), moveTo };
  }
  if (kind === 'sweep') return { kind, table, key, due: text('due'), order: optional('order') };

  const forms = ['set', 'rule', 'sql'].filter((name) => given[name] !== undefined);
  if (forms.length !== 1)
    problems.push(`${at.slice(0, -1)} needs one of set, rule and sql, and has ${forms.join(' and ') || 'none'}`);
  if (given.sql !== undefined) {
    if (given.where !== undefined) problems.push(`${at}where: write the condition into sql`);
    return { kind, table, key, sql: text('sql') };
  }
  const where = optional('where');
  if (given.rule !== undefined) {
    const rule = resolveRule(objectAt(given, 'rule', at, problems), at, problems);
    return { kind, table, key, set: {}, where, rule };
  }
  const set = objectAt(given, 'set', at, problems);
  if (given.set !== undefined && Object.keys(set).length === 0) problems.push(`${at}set must set at least one column`);
  const texts = Object.entries(set).map(([column, value]) => [column, textOf(value, `${at}set.${column}`, problems)]);
  return { kind, table, key, set: Object.fromEntries(texts) as Record<string, string>, where };
}

function policiesOf(given: Given, at: string, problems: string[]): { policies?: true } {
  const { policies } = given;
  if (policies !== undefined && typeof policies !== 'boolean') problems.push(`${at}policies must be true or false`);
  return policies === true ? { policies } : {};
}

function resolveRule(given: Given, at: string, problems: string[]): Rule {
  checkKeys(given, ['column', 'add', 'max', 'min'], `${at}rule.`, problems);
  const part = (name: string): string =>
    textOf(typeof given[name] === 'number' ? String(given[name]) : given[name], `${at}rule.${name}`, problems);
  const optional = (name: string): string | undefined => (given[name] === undefined ? undefined : part(name));
  return { column: part('column'), add: part('add'), max: optional('max'), min: optional('min') };
}

function resolveKey(given: unknown, at: string, problems: string[]): string[] | undefined {
  if (given === undefined) return undefined;
  const list: unknown[] = Array.isArray(given) ? given : [given];
  if (list.length > 0 && list.every((name) => typeof name === 'string' && name !== '')) return list as string[];
  problems.push(`${at}key must be a column, or a list of columns`);
  return undefined;
}

function tableOf(given: unknown, at: string, problems: string[]): TableRef {
  if (typeof given === 'string' && given !== '') {
    const parts = given.split('.');
    if (parts.length === 1) return { name: given };
    if (parts.length === 2 && parts.every((part) => part !== '')) return { schema: parts[0]!, name: parts[1]! };
  } else if (isObject(given) && typeof given.schema === 'string' && typeof given.name === 'string') {
    return { schema: given.schema, name: given.name };
  }
  problems.push(`${at} must be a table: 'player', 'game.player', or { schema: 'game', name: 'player' }`);
  return { name: '' };
}

function textOf(given: unknown, at: string, problems: string[]): string {
  if (typeof given === 'string' && given.trim() !== '' && given.length <= SQL_LENGTH && !given.includes('\0'))
    return given;
  problems.push(
    `${at} must be SQL, as text${typeof given === 'string' && given.length > SQL_LENGTH ? `, of at most ${SQL_LENGTH} characters` : ''}`,
  );
  return 'null';
}

function checkRetry(given: Given, at: string, problems: string[]): void {
  const retry = objectAt(given, 'retry', at, problems);
  checkKeys(retry, ['attempts', 'backoff', 'base', 'cap', 'jitter'], `${at}retry.`, problems);
  if (retry.backoff !== undefined && retry.backoff !== 'constant' && retry.backoff !== 'exponential') {
    problems.push(`${at}retry.backoff must be constant or exponential`);
  }
}

function keysOf(kind: JobKind): string[] {
  const names = [...specsOf(kind).map((spec) => spec.name), ...COMMON, ...OWN[kind]];
  return [...new Set(names.map((name) => name.split('.')[0]!))];
}

/** The definition over the defaults, `retry` option by option. Either of `every` and `cron` replaces both. */
function merged(defaults: Given, own: Given): Given {
  const base = { ...defaults };
  if (own.every !== undefined || own.cron !== undefined)
    for (const key of ['every', 'cron', 'timeZone']) delete base[key];
  const retry = isObject(defaults.retry) && isObject(own.retry) ? { retry: { ...defaults.retry, ...own.retry } } : {};
  return { ...base, ...own, ...retry };
}
