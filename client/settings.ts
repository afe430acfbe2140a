/**
 * Options as people read them: each with its value as they would write it, and who gave it. Used for `config` of
 * trackers, buffers, jobs and upstreams; `unit.ts` tells by them what a command changes.
 */
import { formatValue } from '../config/values';
import type { OptionChanges, OptionSpec } from '../workflows/lib/options';
import { sameJson } from '../activities/lib/same-json';

export interface Setting {
  /** As in a config module: `operations.location.every`. */
  path: string;
  /** As one would write it: `1s`, `500`, `true`, `none`. */
  value: string;
  /** Compiled: durations are milliseconds. */
  compiled: number | boolean | string | null;
  /** `default`: built in; `defaults`: of the config; `definition`: the tracker's own; `set`: by hand, while it ran. */
  source: 'default' | 'defaults' | 'definition' | 'set';
  /** Its value without the change by hand. */
  configured?: string;
}

/** The parts of an option's row: the options as given, what was set by hand, and both together. */
export interface SettingSources {
  inForce: object;
  stored: object & { sources?: Partial<Record<string, Setting['source']>> };
  changes: OptionChanges;
}

/** One option. @param show how its value is written */
export function settingOf(
  { inForce, stored, changes }: SettingSources,
  spec: OptionSpec,
  prefix = '',
  show: (spec: OptionSpec, compiled: Setting['compiled']) => string = formatValue,
): Setting {
  const at = prefix + spec.path;
  const compiled = read(inForce, at);
  const changed = changes[at] !== undefined && changes[at] !== null;
  return {
    path: prefix + spec.name,
    value: show(spec, compiled),
    compiled,
    source: changed ? 'set' : (stored.sources?.[at] ?? 'default'),
    ...(changed ? { configured: show(spec, read(stored, at)) } : {}),
  };
}

function read(options: object, path: string): Setting['compiled'] {
  const value = path
    .split('.')
    .reduce<unknown>(
      (at, key) => (at === null || at === undefined ? at : (at as Record<string, unknown>)[key]),
      options,
    );
  return (value ?? null) as Setting['compiled'];
}

/** Whether two sets of options mean the same, whatever the order of their keys and whoever gave them. */
export function sameOptions<Options extends object>(a: Options, b: Options): boolean {
  return sameJson({ ...a, sources: undefined }, { ...b, sources: undefined });
}
