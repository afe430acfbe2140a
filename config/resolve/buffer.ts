import { storableJson } from '../../workflows/lib/text';
import { BUFFER_OPTIONS, NONE, STATE_BYTES, type BufferOptions } from '../../workflows/buffer/options';
import type { AnyBuffer, BufferDefinition } from '../define/buffer';
import { checkKeys, isObject, objectAt, read, without, type Given } from './given';
import { compileValue } from '../values';
import { NAME_PATTERN, type OptionSpec } from '../../workflows/lib/options';
import type { Json } from '../../workflows/lib/json';

export interface ResolvedBuffer {
  name: string;
  /** Compiled, plain JSON. */
  options: BufferOptions;
  /** The code: `run`, `init`, `key`, `onError`. */
  definition: BufferDefinition<never, never>;
}

const GROUPS = ['bound', 'retry'] as const;
const KEYS = [
  ...new Set(BUFFER_OPTIONS.map((spec) => spec.name.split('.')[0]!)),
  'name',
  'run',
  'upstream',
  'init',
  'key',
  'state',
  'metadata',
  'onError',
];
const OWN_KEYS = ['name', 'run', 'upstream', 'init', 'key', 'state'];

export function resolveBuffers(given: unknown, defaults: Given, problems: string[]): ResolvedBuffer[] {
  checkKeys(defaults, without(KEYS, ...OWN_KEYS), 'defaults.buffer.', problems);
  for (const spec of BUFFER_OPTIONS) pick(spec, [{}, defaults], 'defaults.buffer.', problems, true);
  if (given === undefined) return [];
  if (!Array.isArray(given)) {
    problems.push('buffers must be a list of defineBuffer({ … })');
    return [];
  }
  const seen = new Set<string>();
  return given.flatMap((one: unknown, index) => {
    if (!isObject(one)) {
      problems.push(`buffers[${index}] must be an object: defineBuffer({ … })`);
      return [];
    }
    const { name } = one;
    if (typeof name !== 'string' || !NAME_PATTERN.test(name)) {
      problems.push(`buffers[${index}].name must be a name (a small letter, then letters, digits, - or _)`);
      return [];
    }
    if (seen.has(name)) problems.push(`buffers.${name}: there are two buffers of that name`);
    seen.add(name);
    return [resolveBuffer(one, name, defaults, problems)];
  });
}

/** One definition by itself, as a program has it. */
export function resolveDefinition(definition: AnyBuffer, problems: string[]): ResolvedBuffer {
  return resolveBuffer(definition as unknown as Given, definition.name, {}, problems);
}

function resolveBuffer(given: Given, name: string, defaults: Given, problems: string[]): ResolvedBuffer {
  const at = `buffers.${name}.`;
  checkKeys(given, KEYS, at, problems);
  for (const group of GROUPS) checkGroup(given, group, at, problems);
  if (typeof given.run !== 'function') problems.push(`${at}run must be a function: async (entries, context) => answer`);
  for (const code of ['init', 'onError']) {
    if (given[code] !== undefined && typeof given[code] !== 'function')
      problems.push(`${at}${code} must be a function`);
  }
  const value = (option: string): unknown => {
    const spec = BUFFER_OPTIONS.find((one) => one.name === option)!;
    return pick(spec, [given, defaults], at, problems, false);
  };
  const number = (option: string): number => value(option) as number;
  const ordered = value('ordered') as boolean;
  if (ordered) {
    for (const option of ['shards', 'maxConcurrency']) {
      if (given[option] !== undefined && given[option] !== 1) {
        problems.push(`${at}${option} must be 1 (or left out) where the buffer is ordered`);
      }
    }
  }
  const sources: NonNullable<BufferOptions['sources']> = {};
  for (const { name: option, path } of BUFFER_OPTIONS) {
    if (read(given, option) !== undefined) sources[path] = 'definition';
    else if (read(defaults, option) !== undefined) sources[path] = 'defaults';
  }
  const options: BufferOptions = {
    maxBatchSize: number('maxBatchSize'),
    flushIntervalMs: value('flushInterval') as number | null,
    maxConcurrency: ordered ? 1 : number('maxConcurrency'),
    timeoutMs: number('timeout'),
    heartbeatTimeoutMs: number('heartbeatTimeout'),
    pollMs: value('poll') as number | null,
    bound: { entries: number('bound.entries'), bytes: number('bound.bytes') },
    capacity: number('capacity'),
    retry: { attempts: number('retry.attempts'), baseMs: number('retry.base'), capMs: number('retry.cap') },
    ordered,
    shards: ordered ? 1 : number('shards'),
    historyEvents: number('historyEvents'),
    init: given.init !== undefined,
    key: readKey(given.key, at, problems),
    state: readState(given.state, at, problems),
    sources,
  };
  return {
    name,
    options,
    definition: { ...defaults, ...given } as unknown as BufferDefinition<never, never>,
  };
}

/** The definition's value, else that of `defaults`, else the built-in one; null: none, in the option's own word. */
function pick(
  spec: OptionSpec,
  layers: [definition: Given, defaults: Given],
  at: string,
  problems: string[],
  reportDefaults: boolean,
): number | boolean | string | null {
  for (const [index, layer] of layers.entries()) {
    const given = read(layer, spec.name);
    if (given === undefined || (spec.name === 'poll' && given === true)) continue;
    if (spec.name in NONE && given === NONE[spec.name]) return null;
    const compiled = compileValue(spec, given);
    if ('value' in compiled) return compiled.value;
    // A mistake in `defaults` is reported once, not once a buffer.
    if (index === 0 || reportDefaults) problems.push(`${at}${compiled.problem}`);
  }
  return spec.default ?? null;
}

function readKey(key: unknown, at: string, problems: string[]): BufferOptions['key'] {
  if (key === undefined) return null;
  if (typeof key === 'function') return 'function';
  if (typeof key === 'string' && key.trim() !== '') return { path: key };
  problems.push(`${at}key must be a path within the entry, such as 'hash', or a function of the entry`);
  return null;
}

function readState(state: unknown, at: string, problems: string[]): Json {
  if (state === undefined) return null;
  const json = JSON.stringify(state) as string | undefined;
  if (json === undefined) problems.push(`${at}state must be JSON`);
  else if (Buffer.byteLength(json) > STATE_BYTES)
    problems.push(`${at}state has more than ${STATE_BYTES} bytes of JSON`);
  else if (storableJson(json) !== json)
    problems.push(`${at}state has a NUL character or half of a surrogate pair, which PostgreSQL does not keep`);
  else if (hasNoNumber(state)) problems.push(`${at}state has NaN or an infinite number, of which JSON makes null`);
  return state as Json;
}

/** A number that JSON cannot say. */
function hasNoNumber(value: unknown): boolean {
  let found = false;
  JSON.stringify(value, (_, one: unknown) => {
    found ||= typeof one === 'number' && !Number.isFinite(one);
    return one;
  });
  return found;
}

function checkGroup(given: Given, group: string, at: string, problems: string[]): void {
  const known = BUFFER_OPTIONS.flatMap((spec) => (spec.name.startsWith(`${group}.`) ? [spec.name.split('.')[1]!] : []));
  checkKeys(objectAt(given, group, at, problems), known, `${at}${group}.`, problems);
}
