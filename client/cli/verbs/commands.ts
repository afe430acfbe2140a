/** `longwatch stop`, `pause` and `resume`: one word to the workflow of a tracker or job each. */
import type { Command } from 'commander';
import type { CommandResult } from '../../../workflows/tracker/contract';
import type { JobHandle } from '../../job';
import type { TrackerHandle } from '../../tracker';
import { print, printJson } from '../output';
import { verb, withLongwatch, type CommonFlags } from '../verb';

export function addStop(program: Command): void {
  const text = 'stop a tracker or job: its workflows end; members, values and ticks stay for the next start';
  add(program, 'stop', text, (of) => of.stop());
}

export function addPause(program: Command): void {
  const text = 'fetch nothing, begin no tick until it is resumed; adds, removals and runs by hand are still taken';
  add(program, 'pause', text, (of) => of.pause());
}

export function addResume(program: Command): void {
  const text = 'go on after a pause; also takes pools out of quarantine';
  add(program, 'resume', text, (of) => of.resume());
}

function add(
  program: Command,
  name: string,
  text: string,
  act: (of: TrackerHandle | JobHandle) => Promise<CommandResult>,
): void {
  verb(program, `${name} <name>`, text, [`longwatch ${name} characters`]).action((of: string, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const isJob = await longwatch.isJob(of);
      const result = await act(isJob ? longwatch.job(of) : longwatch.tracker(of));
      if (flags.json) return printJson({ [isJob ? 'job' : 'tracker']: of, ...result });
      await print(`'${of}' is ${result.changed ? '' : 'already '}${result.state}`);
    }),
  );
}
