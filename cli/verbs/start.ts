/**
 * `longwatch start`: gives a tracker, buffer or job of the config to Temporal, which keeps it running from then on. One
 * that was started before goes on with the options that it had in a folder without a config.
 */
import type { Command } from 'commander';
import { UsageError } from '../errors';
import { lazy } from '../lazy';
import { print, printJson, remark } from '../output';
import type { CommandOptions } from '../../client/audit';
import type { StartResult } from '../../client/unit';
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
    .option('--config <file>', 'the config module (longwatch.config.ts in this folder; without one: as it was before)')
    .option('--update', 'when it runs already: give it the options of the config')
    .action((name: string, flags: Flags) => start(name, flags));
}

async function start(name: string, flags: Flags): Promise<void> {
  const { configIn } = lazy.load();
  if (flags.config === undefined && !flags.update && configIn() === undefined) return startAgain(name, flags);
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
      await print(sentence(name, result));
      if (updated) remark('its options are now those of the config');
      else if (result.differs)
        remark(`its options differ from the config; hand them over with: npx longwatch start ${name} --update`);
    },
    undefined,
    config.dataConverter,
  );
}

async function startAgain(name: string, flags: Flags): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    const kind = await longwatch.kindOf(name);
    // A tracker is what a name is that nobody has: then only a config can say what it is, and it is told so.
    if (kind === 'tracker' && !(await longwatch.trackers()).includes(name)) await lazy.load().loadConfig();
    const result = await longwatch.unit(kind, name).start(undefined, { why: flags.why });
    if (flags.json) return printJson({ [kind]: name, ...result, updated: false });
    await print(sentence(name, result));
    if (!result.alreadyRunning) remark('with the options that it had: there is no config in this folder');
  });
}

function sentence(name: string, { alreadyRunning, state }: StartResult): string {
  return `'${name}' is ${alreadyRunning ? 'already ' : ''}running${state === 'paused' ? ' (paused)' : ''}`;
}

interface Startable<Options> {
  start(options: Options, told: CommandOptions): Promise<StartResult>;
  declare(options: Options, told: CommandOptions): Promise<{ changed: boolean }>;
}

async function startOne<Options>(of: Startable<Options>, options: Options, flags: Flags) {
  const result = await of.start(options, { why: flags.why });
  const updated = result.differs && flags.update === true && (await of.declare(options, { why: flags.why })).changed;
  return { result, updated };
}
