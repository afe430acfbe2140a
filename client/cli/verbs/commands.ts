/** `longwatch stop`, `pause` and `resume`: one word to a tracker's root workflow each. */
import type { Command } from 'commander';
import type { CommandResult } from '../../../workflows/tracker/contract';
import type { TrackerHandle } from '../../tracker';
import { print, printJson } from '../output';
import { verb, withLongwatch, type CommonFlags } from '../verb';

export function addStop(program: Command): void {
  const text = 'stop a tracker: nothing is fetched, its workflows end; members and values stay for the next start';
  add(program, 'stop', text, (tracker) => tracker.stop());
}

export function addPause(program: Command): void {
  const text = 'fetch nothing until it is resumed; adds and removals are still taken';
  add(program, 'pause', text, (tracker) => tracker.pause());
}

export function addResume(program: Command): void {
  const text = 'go on after a pause; also takes pools out of quarantine';
  add(program, 'resume', text, (tracker) => tracker.resume());
}

function add(
  program: Command,
  name: string,
  text: string,
  act: (tracker: TrackerHandle) => Promise<CommandResult>,
): void {
  verb(program, `${name} <tracker>`, text, [`longwatch ${name} characters`]).action(
    (tracker: string, flags: CommonFlags) =>
      withLongwatch(flags, async (longwatch) => {
        const result = await act(longwatch.tracker(tracker));
        if (flags.json) return printJson({ tracker, ...result });
        await print(`'${tracker}' is ${result.changed ? '' : 'already '}${result.state}`);
      }),
  );
}
