/**
 * Buffers, from what the user wrote to what runs: compiled options, checked against the table of
 * `workflows/buffer/options.ts`. Called by `config.ts` for a config and by the client for a definition by itself; the
 * options go to the buffer's parent at `start`, the code to the batches.
 */
import { storableJson } from '../../workflows/lib/text';
import { BUFFER_OPTIONS, NONE, STATE_BYTES, type BufferOptions } from '../../workflows/buffer/options';
import type { AnyBuffer, BufferDefinition } from '../define/buffer';
import { namedOnes, Reader, takenByUnit, without, type Given } from './given';
import type { OptionValue } from '../values';
import type { OptionSpec } from '../../workflows/lib/options';
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

/** @param taken the names of trackers; those of the buffers join them */
export function resolveBuffers(
  given: unknown,
  defaults: Given,
  taken: Set<string>,
  problems: string[],
): ResolvedBuffer[] {
  const layer = new Reader(defaults, { at: 'defaults.buffer.', problems });
  layer.onlyKeys(without(KEYS, ...OWN_KEYS));
  for (const group of GROUPS) layer.inside(group).onlyKeys(keysOf(group));
  for (const spec of BUFFER_OPTIONS) optionOf(layer, spec);
  if (given === undefined) return [];
  if (!Array.isArray(given)) {
    problems.push('buffers must be a list of defineBuffer({ … })');
    return [];
  }
  const named = { at: 'buffers', made: 'defineBuffer({ … })', taken, twice: takenByUnit };
  return namedOnes(given, named, problems).map((one) => resolveBuffer(one.given, one.name, defaults, problems));
}

/** One definition by itself, as a program has it. */
export function resolveDefinition(definition: AnyBuffer, problems: string[]): ResolvedBuffer {
  return resolveBuffer(definition as unknown as Given, definition.name, {}, problems);
}

function resolveBuffer(given: Given, name: string, defaults: Given, problems: string[]): ResolvedBuffer {
  const buffer = new Reader(given, { at: `buffers.${name}.`, problems, defaults });
  buffer.onlyKeys(KEYS);
  for (const group of GROUPS) buffer.inside(group).onlyKeys(keysOf(group));
  if (typeof given.run !== 'function') buffer.problem('run must be a function: async (entries, context) => answer');
  buffer.optionalFunction('init');
  buffer.optionalFunction('onError');
  const values = new Map(BUFFER_OPTIONS.map((spec) => [spec.name, optionOf(buffer, spec)]));
  const number = (option: string): number => values.get(option) as number;
  const ordered = values.get('ordered') as boolean;
  if (ordered) checkSingle(buffer);
  const options: BufferOptions = {
    maxBatchSize: number('maxBatchSize'),
    flushIntervalMs: values.get('flushInterval') as number | null,
    maxConcurrency: ordered ? 1 : number('maxConcurrency'),
    timeoutMs: number('timeout'),
    heartbeatTimeoutMs: number('heartbeatTimeout'),
    pollMs: values.get('poll') as number | null,
    bound: { entries: number('bound.entries'), bytes: number('bound.bytes') },
    capacity: number('capacity'),
    retry: { attempts: number('retry.attempts'), baseMs: number('retry.base'), capMs: number('retry.cap') },
    ordered,
    shards: ordered ? 1 : number('shards'),
    historyEvents: number('historyEvents'),
    init: given.init !== undefined,
    key: readKey(buffer),
    state: readState(buffer),
    sources: buffer.givenSources(),
  };
  return {
    name,
    options,
    definition: { ...defaults, ...given } as unknown as BufferDefinition<never, never>,
  };
}

/** An option, null where the option's own word says none; `poll: true` is the poll that is built in, or `defaults`'. */
function optionOf(buffer: Reader, spec: OptionSpec): OptionValue | null {
  const first = buffer.first(spec.name);
  if (first && spec.name in NONE && first.value === NONE[spec.name]) {
    buffer.sources[spec.path] = first.source;
    return null;
  }
  if (spec.name !== 'poll' || first?.value !== true) return buffer.option(spec);
  const value = first.source === 'defaults' ? spec.default! : optionOf(new Reader({}, buffer), spec);
  buffer.sources[spec.path] = first.source;
  return value;
}

/** An ordered buffer has one shard, which runs one batch at a time. */
function checkSingle(buffer: Reader): void {
  for (const option of ['shards', 'maxConcurrency']) {
    const value = buffer.given[option];
    if (value !== undefined && value !== 1) {
      buffer.problem(`${option} must be 1 (or left out) where the buffer is ordered`);
    }
  }
}

function readKey(buffer: Reader): BufferOptions['key'] {
  const { key } = buffer.given;
  if (key === undefined) return null;
  if (typeof key === 'function') return 'function';
  if (typeof key === 'string' && key.trim() !== '') return { path: key };
  buffer.problem("key must be a path within the entry, such as 'hash', or a function of the entry");
  return null;
}

function readState(buffer: Reader): Json {
  const { state } = buffer.given;
  if (state === undefined) return null;
  const json = JSON.stringify(state) as string | undefined;
  if (json === undefined) buffer.problem('state must be JSON');
  else if (Buffer.byteLength(json) > STATE_BYTES) buffer.problem(`state has more than ${STATE_BYTES} bytes of JSON`);
  else if (storableJson(json) !== json)
    buffer.problem('state has a NUL character or half of a surrogate pair, which PostgreSQL does not keep');
  else if (hasNoNumber(state)) buffer.problem('state has NaN or an infinite number, of which JSON makes null');
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

function keysOf(group: string): string[] {
  return BUFFER_OPTIONS.flatMap((spec) => (spec.name.startsWith(`${group}.`) ? [spec.name.split('.')[1]!] : []));
}
