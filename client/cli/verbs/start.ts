/** `longwatch start`: gives a tracker or a buffer of the config to Temporal, which keeps it running from then on. */
import type { Command } from 'commander';
import { UsageError } from '../errors';
import { lazy } from '../lazy';
import { print, printJson, remark } from '../output';
import { verb, withLongwatch, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  config?: string;
  update?: boolean;
}

export function addStart(program: Command): void {
  verb(program, 'start <name>', 'start a tracker or a buffer of the config', [
    'longwatch start characters',
    'longwatch start characters --update   # hand the changed options to the running one',
  ])
    .option('--config <file>', 'the config module (longwatch.config.ts in this folder)')
    .option('--update', 'when it runs already: give it the options of the config')
    .action((name: string, flags: Flags) => start(name, flags));
}

async function start(name: string, flags: Flags): Promise<void> {
  const { config } = await lazy.load().loadConfig(flags.config);
  const tracker = config.trackers.find((one) => one.name === name);
  const buffer = config.buffers.find((one) => one.name === name);
  if (!tracker && !buffer) {
    const names = [...config.trackers, ...config.buffers].map((one) => one.name);
    const hint = lazy.suggest().didYouMean(name, names) || `; it has ${names.join(', ')}`;
    throw new UsageError(`the config has no tracker or buffer '${name}'${hint}`);
  }
  await withLongwatch(flags, async (longwatch) => {
    const { result, updated } = tracker
      ? await give(longwatch.tracker(name), tracker.options, flags)
      : await give(longwatch.buffer(name), buffer!.options, flags);
    if (flags.json) return printJson({ [tracker ? 'tracker' : 'buffer']: name, ...result, updated });
    const paused = result.state === 'paused' ? ' (paused)' : '';
    await print(result.alreadyRunning ? `'${name}' is already running${paused}` : `'${name}' is running${paused}`);
    if (updated) remark('its options are now those of the config');
    else if (result.differs)
      remark(`its options differ from the config; hand them over with: npx longwatch start ${name} --update`);
  });
}

interface Startable<O> {
  start(options: O): Promise<{ alreadyRunning: boolean; state: string; differs: boolean }>;
  declare(options: O): Promise<{ changed: boolean }>;
}

async function give<O>(handle: Startable<O>, options: O, flags: Flags) {
  const result = await handle.start(options);
  const updated = result.differs && flags.update === true && (await handle.declare(options)).changed;
  return { result, updated };
}
