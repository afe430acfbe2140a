/**
 * Durable activities, from what the user wrote to what runs: compiled options, checked against the table of
 * `workflows/durable/contract.ts`. Called by `config.ts` for a config and by `workers/durable.ts` for a worker of the
 * user's own.
 */
import {
  BACKOFFS,
  COMPENSATION_RETRY,
  DURABLE_OPTIONS,
  OTHER_INPUTS,
  type DurableOptions,
} from '../../workflows/durable/contract';
import type { ActivityDefinition, AnyActivity, CompensationDefinition, ResolvedActivity } from '../define/activity';
import { isObject } from '../../workflows/lib/json';
import { namedOnes, read, Reader, type Given } from './given';

const KEYS = [
  ...['name', 'run', 'upstream', 'timeout', 'retry', 'lease', 'idempotencyKey', 'fingerprint', 'otherInput'],
  ...['keep', 'keepFailure', 'compensate'],
];
const COMPENSATION_KEYS = ['run', 'timeout', 'retry', 'lease'];
const RETRY_KEYS = ['attempts', 'backoff', 'base', 'cap', 'jitter'];

/** A list of definitions, or a module whose exports they are. */
export type ActivityList = readonly AnyActivity[] | Readonly<Record<string, unknown>>;

export function resolveActivities(given: unknown, problems: string[]): ResolvedActivity[] {
  if (given === undefined) return [];
  if (typeof given !== 'object' || given === null) {
    problems.push('activities must be a list of defineActivity({ … }), or a module that exports them');
    return [];
  }
  // A module may export more than its activities.
  const list: unknown[] = Array.isArray(given) ? given : Object.values(given).filter(isDefinition);
  const hidden = Array.isArray(given) ? [] : Object.entries(given).filter(([, value]) => hidesOthers(value, list));
  for (const [name] of hidden) {
    const what = name === 'default' ? 'its default export' : `its export '${name}'`;
    problems.push(`activities: ${what} is a list or a module of activities, which would be lost; give each by itself`);
  }
  const twice = (): string => 'there are two activities of that name';
  const named = { at: 'activities', made: 'defineActivity({ … })', taken: new Set<string>(), twice };
  return namedOnes(list, named, problems).map((one) => resolveActivity(one.given, one.name, problems));
}

function resolveActivity(given: Given, name: string, problems: string[]): ResolvedActivity {
  const activity = new Reader(given, { at: `activities.${name}.`, problems });
  activity.onlyKeys(KEYS);
  if (typeof given.run !== 'function') activity.problem('run must be a function: async (input, context) => result');
  for (const key of ['idempotencyKey', 'fingerprint', 'lease.resource']) {
    const code = read(given, key);
    if (code !== undefined && typeof code !== 'function') activity.problem(`${key} must be a function of the input`);
  }
  return {
    name,
    options: resolveOptions(activity, ['ttl', 'renew', 'resource']),
    definition: given as unknown as ActivityDefinition,
    compensation: resolveCompensation(activity),
  };
}

function resolveCompensation(activity: Reader): ResolvedActivity['compensation'] {
  const given = activity.given.compensate;
  if (given === undefined) return undefined;
  const definition = (typeof given === 'function' ? { run: given } : given) as Given;
  if (!isObject(definition) || typeof definition.run !== 'function') {
    activity.problem('compensate must be a function, or { run, timeout, retry, lease }');
    return undefined;
  }
  activity.over('compensate', definition).onlyKeys(COMPENSATION_KEYS);
  const retry = isObject(definition.retry) ? definition.retry : {};
  const { attempts, backoff, baseMs, capMs, jitter } = COMPENSATION_RETRY;
  const merged = { ...definition, retry: { attempts, backoff, base: baseMs, cap: capMs, jitter, ...retry } };
  const options = resolveOptions(activity.over('compensate', merged), ['ttl', 'renew']);
  return { options, run: definition.run as CompensationDefinition<unknown, unknown>['run'] };
}

function resolveOptions(activity: Reader, leaseKeys: string[]): DurableOptions {
  const retry = activity.inside('retry');
  const lease = activity.inside('lease');
  retry.onlyKeys(RETRY_KEYS);
  lease.onlyKeys(leaseKeys);
  const values = Object.fromEntries(DURABLE_OPTIONS.map((spec) => [spec.path, activity.option(spec)]));
  const backoff = retry.given.backoff ?? 'constant';
  if (!BACKOFFS.includes(backoff as 'constant')) retry.problem(`backoff must be ${BACKOFFS.join(' or ')}`);
  const otherInput = activity.given.otherInput ?? 'tell';
  if (!OTHER_INPUTS.includes(otherInput as 'tell')) {
    activity.problem(`otherInput must be ${OTHER_INPUTS.join(' or ')}`);
  }
  const ttlMs = values['lease.ttlMs'] as number;
  const renewMs = lease.given.renew === undefined ? Math.floor(ttlMs / 3) : (values['lease.renewMs'] as number);
  if (renewMs * 2 > ttlMs) lease.problem('renew must be at most half of lease.ttl, so that one may fail');
  return {
    timeoutMs: values.timeoutMs as number,
    retry: {
      attempts: values['retry.attempts'] as number,
      backoff: backoff as 'constant',
      baseMs: values['retry.baseMs'] as number,
      capMs: values['retry.capMs'] as number,
      jitter: values['retry.jitter'] as boolean,
    },
    lease: { ttlMs, renewMs },
    keepMs: values.keepMs as number,
    keepFailure: values.keepFailure as boolean,
    otherInput: otherInput as 'tell',
  };
}

/**
 * A list, a module or an instance of a class with definitions in it: `export default [ … ]`,
 * `export * as more from './more'`. A CommonJS module that was imported has all its exports once more below `default`.
 */
function hidesOthers(value: unknown, list: readonly unknown[]): boolean {
  if (typeof value !== 'object' || value === null || isDefinition(value)) return false;
  return Object.values(value).some((inner) => isDefinition(inner) && !list.includes(inner));
}

function isDefinition(value: unknown): boolean {
  return isObject(value) && typeof value.name === 'string' && typeof value.run === 'function';
}
