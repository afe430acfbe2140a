/** A job's options as people read them: each with its value and who gave it. For `JobHandle.config`. */
import { formatValue } from '../workers/config/values';
import { specsOf, withJobChanges, type JobOptions } from '../workflows/population/options';
import type { OptionChange } from '../workflows/tracker/options';
import { canonical, read, type Setting } from './settings';

/** Every option of a job that can be set while it runs, in the order of the options table. */
export function jobSettings(stored: JobOptions, changes: Record<string, OptionChange['value']>): Setting[] {
  const now = withJobChanges(stored, changes);
  const specs = specsOf(stored.kind).filter((spec) => spec.name !== 'every' || 'everyMs' in stored.schedule);
  return specs.map((spec) => {
    const compiled = read(now, spec.path);
    const changed = changes[spec.path] !== undefined && changes[spec.path] !== null;
    return {
      path: spec.name,
      value: formatValue(spec, compiled),
      compiled,
      source: changed ? 'set' : (stored.sources?.[spec.path] ?? 'default'),
      ...(changed ? { configured: formatValue(spec, read(stored, spec.path)) } : {}),
    };
  });
}

/** Whether two sets of options mean the same, whatever the order of their keys and whoever gave them. */
export function sameJobOptions(a: JobOptions, b: JobOptions): boolean {
  return canonical({ ...a, sources: undefined }) === canonical({ ...b, sources: undefined });
}
