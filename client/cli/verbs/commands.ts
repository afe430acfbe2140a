/** `longwatch stop`, `pause` and `resume`: one word to a tracker's root workflow each. */
import type { Command } from 'commander';
import type { BufferCommandResult } from '../../../workflows/buffer/contract';
import type { CommandResult } from '../../../workflows/tracker/contract';
import type { BufferHandle } from '../../buffer';
import type { TrackerHandle } from '../../tracker';
import type { Longwatch } from '../../longwatch';
import { print, printJson } from '../output';
import { verb, withLongwatch, type CommonFlags } from '../verb';

export function addStop(program: Command): void {
  const text = 'stop a tracker: nothing is fetched, its workflows end; members and values stay for the next start';
  add(program, 'stop <tracker>', text, (longwatch, name) => longwatch.tracker(name).stop());
}

export function addPause(program: Command): void {
  const text = 'fetch nothing, or run no batch, until it is resumed; adds, removals and pushes are still taken';
  add(program, 'pause <name>', text, async (longwatch, name) => (await handleOf(longwatch, name)).pause());
}

export function addResume(program: Command): void {
  const text = 'go on after a pause; also takes pools out of quarantine';
  add(program, 'resume <name>', text, async (longwatch, name) => (await handleOf(longwatch, name)).resume());
}

/** A name that is a buffer's and no tracker's means the buffer. */
async function handleOf(longwatch: Longwatch, name: string): Promise<TrackerHandle | BufferHandle> {
  const tracker = longwatch.tracker(name);
  if ((await longwatch.trackers()).includes(name)) return tracker;
  return (await longwatch.bufferNames()).includes(name) ? longwatch.buffer(name) : tracker;
}

function add(
  program: Command,
  usage: string,
  text: string,
  act: (longwatch: Longwatch, name: string) => Promise<CommandResult | BufferCommandResult>,
): void {
  const [word] = usage.split(' ');
  verb(program, usage, text, [`longwatch ${word} characters`]).action((name: string, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const result = await act(longwatch, name);
      if (flags.json) return printJson({ name, ...result });
      await print(`'${name}' is ${result.changed ? '' : 'already '}${result.state}`);
    }),
  );
}
