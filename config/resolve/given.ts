/**
 * How a definition is read: values that may be anything, each problem with its path. Used by the other files of this
 * folder.
 */
import { didYouMean } from '../suggest';
import { compileValue, type OptionValue } from '../values';
import type { OptionSpec } from '../../workflows/lib/options';

/** Who gave an option its value. `config` shows it, and adds `set` for what was changed by hand. */
export type OptionSource = 'default' | 'defaults' | 'definition';

export type Given = Record<string, unknown>;

export const without = (keys: string[], ...left: string[]): string[] => keys.filter((key) => !left.includes(key));

/** The first layer's value that is there, else the built-in default; notes who gave it. Null: none. */
export function pick(
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

export function checkKeys(given: Given, known: string[], at: string, problems: string[]): void {
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) problems.push(`${at}${key} is not an option${didYouMean(key, known)}`);
  }
}

export function checkFunction(given: Given, key: string, at: string, problems: string[]): void {
  if (given[key] !== undefined && typeof given[key] !== 'function') problems.push(`${at}${key} must be a function`);
}

export function objectAt(given: Given, key: string, at: string, problems: string[]): Given {
  const value = given[key];
  if (value === undefined) return {};
  if (isObject(value)) return value;
  problems.push(`${at}${key} must be an object`);
  return {};
}

/** `read({ stagger: { base: 1 } }, 'stagger.base')` is 1; undefined where something on the way is missing. */
export function read(given: Given, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), given);
}

export function isObject(value: unknown): value is Given {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
