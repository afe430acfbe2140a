/** A job's options as people read them: each with its value and who gave it. For `JobHandle.config`. */
import { specsOf, withJobChanges, type JobOptions } from '../../workflows/job/options';
import { settingOf, type Setting } from '../settings';
import type { OptionChange } from '../../workflows/lib/options';

/** Every option of a job that can be set while it runs, in the order of the options table. */
export function jobSettings(stored: JobOptions, changes: Record<string, OptionChange['value']>): Setting[] {
  const now = withJobChanges(stored, changes);
  const specs = specsOf(stored.kind).filter((spec) => spec.name !== 'every' || 'everyMs' in stored.schedule);
  return specs.map((spec) => settingOf({ now, stored, changes }, spec));
}
