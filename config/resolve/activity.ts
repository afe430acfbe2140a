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
import { checkKeys, isObject, objectAt, type Given } from './given';
import { compileValue, type OptionValue } from '../values';
import { NAME_PATTERN } from '../../workflows/lib/options';

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
  const seen = new Set<string>();
  return list.flatMap((one, index) => {
    if (!isObject(one)) {
      problems.push(`activities[${index}] must be an object: defineActivity({ … })`);
      return [];
    }
    const { name } = one;
    if (typeof name !== 'string' || !NAME_PATTERN.test(name)) {
      problems.push(`activities[${index}].name must be a name (a small letter, then letters, digits, - or _)`);
      return [];
    }
    if (seen.has(name)) problems.push(`activities.${name}: there are two activities of that name`);
    seen.add(name);
    return [resolveActivity(one, name, problems)];
  });
}

function resolveActivity(given: Given, name: string, problems: string[]): ResolvedActivity {
  const at = `activities.${name}.`;
  checkKeys(given, KEYS, at, problems);
  if (typeof given.run !== 'function') problems.push(`${at}run must be a function: async (input, context) => result`);
  if (given.idempotencyKey !== undefined && typeof given.idempotencyKey !== 'function') {
    problems.push(`${at}idempotencyKey must be a function of the input`);
  }
  if (given.fingerprint !== undefined && typeof given.fingerprint !== 'function') {
    problems.push(`${at}fingerprint must be a function of the input`);
  }
  const { resource } = isObject(given.lease) ? given.lease : {};
  if (resource !== undefined && typeof resource !== 'function') {
    problems.push(`${at}lease.resource must be a function of the input`);
  }
  const options = resolveOptions(given, ['ttl', 'renew', 'resource'], at, problems);
  return {
    name,
    options,
    definition: given as unknown as ActivityDefinition,
    compensation: resolveCompensation(given.compensate, `${at}compensate.`, problems),
  };
}

function resolveCompensation(given: unknown, at: string, problems: string[]): ResolvedActivity['compensation'] {
  if (given === undefined) return undefined;
  const definition = (typeof given === 'function' ? { run: given } : given) as Given;
  if (!isObject(definition) || typeof definition.run !== 'function') {
    problems.push(`${at.slice(0, -1)} must be a function, or { run, timeout, retry, lease }`);
    return undefined;
  }
  checkKeys(definition, COMPENSATION_KEYS, at, problems);
  const retry = isObject(definition.retry) ? definition.retry : {};
  const { attempts, backoff, baseMs, capMs, jitter } = COMPENSATION_RETRY;
  const merged = { ...definition, retry: { attempts, backoff, base: baseMs, cap: capMs, jitter, ...retry } };
  const options = resolveOptions(merged, ['ttl', 'renew'], at, problems);
  return { options, run: definition.run as CompensationDefinition<unknown, unknown>['run'] };
}

function resolveOptions(given: Given, leaseKeys: string[], at: string, problems: string[]): DurableOptions {
  const retry = objectAt(given, 'retry', at, problems);
  const lease = objectAt(given, 'lease', at, problems);
  checkKeys(retry, RETRY_KEYS, `${at}retry.`, problems);
  checkKeys(lease, leaseKeys, `${at}lease.`, problems);
  const values: Record<string, OptionValue> = {};
  for (const spec of DURABLE_OPTIONS) {
    const [group, key] = spec.name.includes('.') ? spec.name.split('.') : [undefined, spec.name];
    const value = (group === 'retry' ? retry : group === 'lease' ? lease : given)[key];
    if (value === undefined) {
      values[spec.path] = spec.default!;
      continue;
    }
    const compiled = compileValue(spec, value);
    if ('problem' in compiled) problems.push(`${at}${compiled.problem}`);
    values[spec.path] = 'value' in compiled ? compiled.value : spec.default!;
  }
  const backoff = retry.backoff ?? 'constant';
  if (!BACKOFFS.includes(backoff as 'constant')) problems.push(`${at}retry.backoff must be ${BACKOFFS.join(' or ')}`);
  const otherInput = given.otherInput ?? 'tell';
  if (!OTHER_INPUTS.includes(otherInput as 'tell'))
    problems.push(`${at}otherInput must be ${OTHER_INPUTS.join(' or ')}`);
  const ttlMs = values['lease.ttlMs'] as number;
  const renewMs = lease.renew === undefined ? Math.floor(ttlMs / 3) : (values['lease.renewMs'] as number);
  if (renewMs * 2 > ttlMs) problems.push(`${at}lease.renew must be at most half of lease.ttl, so that one may fail`);
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
