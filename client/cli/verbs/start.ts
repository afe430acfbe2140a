/** `longwatch start`: gives a tracker of the config to Temporal, which keeps it running from then on. */
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
  verb(program, 'start <tracker>', 'start a tracker of the config', [
    'longwatch start characters',
    'longwatch start characters --update   # hand the changed options to the running one',
  ])
    .option('--config <file>', 'the config module (longwatch.config.ts in this folder)')
    .option('--update', 'when it runs already: give it the options of the config')
    .action((name: string, flags: Flags) => start(name, flags));
}

async function start(name: string, flags: Flags): Promise<void> {
  const { config } = await lazy.load().loadConfig(flags.config);
  const defined = config.trackers.find((tracker) => tracker.name === name);
  if (!defined) {
    const names = config.trackers.map((tracker) => tracker.name);
    const hint = lazy.suggest().didYouMean(name, names) || `; it has ${names.join(', ')}`;
    throw new UsageError(`the config has no tracker '${name}'${hint}`);
  }
  await withLongwatch(flags, async (longwatch) => {
    const tracker = longwatch.tracker(name);
    const result = await tracker.start(defined.options);
    const updated = result.differs && flags.update === true && (await tracker.declare(defined.options)).changed;
    if (flags.json) return printJson({ tracker: name, ...result, updated });
    const paused = result.state === 'paused' ? ' (paused)' : '';
    await print(result.alreadyRunning ? `'${name}' is already running${paused}` : `'${name}' is running${paused}`);
    if (updated) remark('its options are now those of the config');
    else if (result.differs)
      remark(`its options differ from the config; hand them over with: npx longwatch start ${name} --update`);
  });
}
