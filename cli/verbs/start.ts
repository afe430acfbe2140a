/** `longwatch start`: gives a tracker, buffer or job of the config to Temporal, which keeps it running from then on. */
import type { Command } from 'commander';
import { UsageError } from '../errors';
import { lazy } from '../lazy';
import { print, printJson, remark } from '../output';
import type { CommandOptions } from '../../client/audit';
import { operatorVerb, withLongwatch, type OperatorFlags } from '../verb';

interface Flags extends OperatorFlags {
  config?: string;
  update?: boolean;
}

export function addStart(program: Command): void {
  operatorVerb(program, 'start <name>', 'start a tracker, buffer or job of the config', [
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
  const job = config.jobs.find((one) => one.name === name);
  if (!tracker && !buffer && !job) {
    const names = [...config.trackers, ...config.buffers, ...config.jobs].map((one) => one.name);
    const hint = lazy.suggest().didYouMean(name, names) || `; it has ${names.join(', ')}`;
    throw new UsageError(`the config has no tracker, buffer or job '${name}'${hint}`);
  }
  await withLongwatch(
    flags,
    async (longwatch) => {
      const { result, updated } = tracker
        ? await startOne(longwatch.tracker(name), tracker.options, flags)
        : buffer
          ? await startOne(longwatch.buffer(name), buffer.options, flags)
          : await startOne(longwatch.job(name), job!.options, flags);
      if (flags.json) return printJson({ [tracker ? 'tracker' : buffer ? 'buffer' : 'job']: name, ...result, updated });
      const paused = result.state === 'paused' ? ' (paused)' : '';
      await print(result.alreadyRunning ? `'${name}' is already running${paused}` : `'${name}' is running${paused}`);
      if (updated) remark('its options are now those of the config');
      else if (result.differs)
        remark(`its options differ from the config; hand them over with: npx longwatch start ${name} --update`);
    },
    undefined,
    config.dataConverter,
  );
}

interface Startable<Options> {
  start(options: Options, told: CommandOptions): Promise<{ alreadyRunning: boolean; state: string; differs: boolean }>;
  declare(options: Options, told: CommandOptions): Promise<{ changed: boolean }>;
}

async function startOne<Options>(of: Startable<Options>, options: Options, flags: Flags) {
  const result = await of.start(options, { why: flags.why });
  const updated = result.differs && flags.update === true && (await of.declare(options, { why: flags.why })).changed;
  return { result, updated };
}
