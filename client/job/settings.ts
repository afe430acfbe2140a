/**
 * A job's options as people read them: each with its value and who gave it, and one change of them. For
 * `JobHandle.config` and `set`.
 */
import { ConfigError } from '../../config/errors';
import { didYouMean } from '../../config/suggest';
import { compileByHand } from '../../config/values';
import { specsOf, withJobChanges, type JobKind, type JobOptions } from '../../workflows/job/options';
import { settingOf, type Setting } from '../settings';
import type { OptionChange, OptionChanges } from '../../workflows/lib/options';

/** Every option of a job that can be set while it runs, in the order of the options table. */
export function jobSettings(stored: JobOptions, changes: OptionChanges): Setting[] {
  const inForce = withJobChanges(stored, changes);
  const specs = specsOf(stored.kind).filter((spec) => spec.name !== 'every' || 'everyMs' in stored.schedule);
  return specs.map((spec) => settingOf({ inForce, stored, changes }, spec));
}

/** One change of `config --set`. @throws ConfigError */
export function jobChange(kind: JobKind, path: string, value: string | number | boolean | null): OptionChange {
  const specs = specsOf(kind);
  const spec = specs.find((candidate) => candidate.name === path);
  if (!spec) {
    const hint = didYouMean(
      path,
      specs.map((candidate) => candidate.name),
    );
    throw new ConfigError([`a ${kind} has no option ${path} that can be set while it runs${hint}`]);
  }
  if (value === null || value === '' || value === 'default') return { path: spec.path, value: null };
  const compiled = compileByHand(spec, value);
  if ('problem' in compiled) throw new ConfigError([compiled.problem]);
  return { path: spec.path, value: compiled.value };
}
