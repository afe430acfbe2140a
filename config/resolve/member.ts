/**
 * The parts of a tracker that give its members a life, from what the user wrote to what runs: `receive` with its
 * options (`RECEIVE_OPTIONS`), the versions of the state, `load` and `unload`. Called by `tracker.ts`; the options go
 * into the tracker's, the code to the turns (`activities/tracker/mail`).
 */
import { RECEIVE_OPTIONS, type ReceiveOptions } from '../../workflows/tracker/options';
import type { OptionSpec } from '../../workflows/lib/options';
import type { Handler, ReceiveDefinition } from '../define/member';
import { compileValue } from '../values';
import { isObject } from '../../workflows/lib/json';
import { read, type Given, type Reader } from './given';

export const LIFE_KEYS = ['receive', 'state', 'load', 'unload'];
const RECEIVE_KEYS = RECEIVE_OPTIONS.map(keyOf);
const MORE_KEYS = ['handle', 'transaction'];
const STATE_KEYS = ['initial', 'version', 'migrate', 'down'];

/** The handler of a definition that has one, and whether it has a transaction of its own. */
export function handlerOf(receive: Handler | ReceiveDefinition): { handle: Handler; transaction: boolean } {
  if (typeof receive === 'function') return { handle: receive, transaction: false };
  return { handle: receive.handle, transaction: receive.transaction === true };
}

/** @returns undefined: its members take no messages */
export function resolveReceive(tracker: Reader): ReceiveOptions | undefined {
  const { receive } = tracker.given;
  if (receive === undefined) {
    for (const key of ['state', 'load', 'unload']) {
      if (tracker.given[key] !== undefined)
        tracker.problem(`${key} is for members that receive: give the tracker a receive(message, context) as well`);
    }
    return undefined;
  }
  tracker.optionalFunction('load');
  tracker.optionalFunction('unload');
  const stateVersion = resolveState(tracker);
  const given = isObject(receive) ? receive : {};
  if (isObject(receive)) checkReceive(tracker.over('receive', receive));
  else if (typeof receive !== 'function')
    tracker.problem('receive must be a function, (message, context) => …, or an object: { handle, timeout, … }');
  const defaults = read(tracker.defaults, 'receive');
  const options = tracker.over('receive', given, isObject(defaults) ? defaults : {});
  const values = RECEIVE_OPTIONS.map((spec) => {
    const key = keyOf(spec);
    return [spec.path.slice('receive.'.length), options.option({ ...spec, name: key }, key, spec.path)];
  });
  return { ...(Object.fromEntries(values) as Omit<ReceiveOptions, 'stateVersion'>), stateVersion };
}

/** The options of `defaults.tracker.receive`; its code stands in the definitions. */
export function checkReceiveDefaults(tracker: Reader): void {
  const layer = tracker.inside('receive');
  layer.onlyKeys(RECEIVE_KEYS);
  for (const spec of RECEIVE_OPTIONS) {
    const given = read(layer.given, keyOf(spec));
    const compiled = given === undefined ? undefined : compileValue({ ...spec, name: keyOf(spec) }, given);
    if (compiled && 'problem' in compiled) layer.problem(compiled.problem);
  }
}

/** `apply` and `while` of an operation. */
export function checkApply(operation: Reader, receives: boolean): { while?: 'awake' } {
  operation.optionalFunction('apply');
  const { apply, while: when, isolate } = operation.given;
  if (when !== undefined && when !== 'always' && when !== 'awake')
    operation.problem("while must be 'always' or 'awake'");
  if (!receives && (apply !== undefined || when !== undefined)) {
    const key = apply === undefined ? 'while' : 'apply';
    operation.problem(`${key} is for members that receive: give the tracker a receive(message, context) as well`);
  }
  if (apply !== undefined && isolate === true)
    operation.problem('apply cannot be isolated: it runs in a turn of its member, in the thread of its node');
  return when === 'awake' ? { while: 'awake' } : {};
}

function checkReceive(receive: Reader): void {
  const { handle, transaction } = receive.given;
  if (receive.given.isolate !== undefined) {
    receive.problem('isolate is not possible: a turn works on what its node has in memory. Give it a timeout instead');
  }
  receive.onlyKeys([...RECEIVE_KEYS, ...MORE_KEYS, 'isolate']);
  if (typeof handle !== 'function') receive.problem('handle must be a function: (message, context) => …');
  if (transaction !== undefined && typeof transaction !== 'boolean')
    receive.problem('transaction must be true or false');
}

/** @returns the version of the state that the definition writes */
function resolveState(tracker: Reader): number {
  const state = tracker.inside('state');
  state.onlyKeys(STATE_KEYS);
  const { version = 1, initial } = state.given;
  if (!Number.isSafeInteger(version) || (version as number) < 1 || (version as number) > 1_000_000) {
    state.problem('version must be a whole number from 1 on: raise it when the state has another shape');
    return 1;
  }
  if (initial !== undefined && typeof initial !== 'function' && !isJson(initial))
    state.problem('initial must be JSON, or a function that returns it');
  checkSteps(state, 'migrate');
  checkSteps(state, 'down');
  const missing = missingSteps(version as number, state.given.migrate);
  if (missing.length > 0) {
    const from = missing[0]!;
    state.problem(
      `migrate has no step from ${from} to ${from + 1}: a stored state of version ${from} could not be read. ` +
        `Write migrate: { ${from}: (state) => … }`,
    );
  }
  return version as number;
}

/** Each step is a function, under the number of a version. */
function checkSteps(state: Reader, key: 'migrate' | 'down'): void {
  for (const [from, step] of Object.entries(state.object(key))) {
    if (!/^[1-9]\d*$/.test(from)) state.problem(`${key}.${from} must be the number of a version: { 1: (state) => … }`);
    else if (typeof step !== 'function') state.problem(`${key}.${from} must be a function of the state`);
  }
}

/** The first version without a step, after the first one that has a step. */
function missingSteps(version: number, migrate: unknown): number[] {
  const known = isObject(migrate) ? Object.keys(migrate).map(Number).filter(Number.isSafeInteger) : [];
  const first = known.length > 0 ? Math.min(...known) : version - 1;
  const missing: number[] = [];
  for (let from = Math.max(1, first); from < version && missing.length === 0; from++)
    if (!known.includes(from)) missing.push(from);
  return missing;
}

function isJson(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined;
  } catch {
    return false;
  }
}

function keyOf({ name }: Pick<OptionSpec, 'name'>): string {
  return name.slice('receive.'.length);
}

/** Whether a definition's members take messages. */
export const receives = (given: Given): boolean => given.receive !== undefined;
