/**
 * A buffer's options as people read them: each with its value and who gave it, and one change of them. For
 * `BufferHandle.config` and `set`.
 */
import { ConfigError } from '../../config/errors';
import { didYouMean } from '../../config/suggest';
import { compileByHand, formatValue } from '../../config/values';
import { BUFFER_OPTIONS, NONE, withBufferChanges, type BufferOptions } from '../../workflows/buffer/options';
import { settingOf, type Setting } from '../settings';
import type { OptionChange, OptionChanges, OptionSpec } from '../../workflows/lib/options';

/** Every option of a buffer that can be set while it runs, in the order of the options table. */
export function bufferSettings(declared: BufferOptions, changes: OptionChanges): Setting[] {
  const inForce = withBufferChanges(declared, changes);
  return BUFFER_OPTIONS.map((spec) => settingOf({ inForce, stored: declared, changes }, spec, '', show));
}

/** One change of `config --set`. @throws ConfigError */
export function bufferChange(path: string, value: string | number | boolean | null): OptionChange {
  const spec = BUFFER_OPTIONS.find((candidate) => candidate.name === path);
  if (!spec) {
    const names = BUFFER_OPTIONS.map((candidate) => candidate.name);
    throw new ConfigError([`a buffer has no option ${path} that can be set while it runs${didYouMean(path, names)}`]);
  }
  if (value === null || value === '' || value === 'default') return { path: spec.path, value: null };
  if (spec.name in NONE && String(value) === String(NONE[spec.name]))
    return { path: spec.path, value: NONE[spec.name]! };
  const compiled = compileByHand(spec, value);
  if ('problem' in compiled) throw new ConfigError([compiled.problem]);
  return { path: spec.path, value: compiled.value };
}

function show(spec: OptionSpec, compiled: Setting['compiled']): string {
  return compiled === null && spec.name in NONE ? String(NONE[spec.name]) : formatValue(spec, compiled);
}
