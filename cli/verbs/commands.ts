/** `longwatch stop`, `pause` and `resume`: one word to the workflow of a tracker, buffer or job each. */
import type { Command } from 'commander';
import type { BufferHandle } from '../../client/buffer/handle';
import type { JobHandle } from '../../client/job/handle';
import type { TrackerHandle } from '../../client/tracker/handle';
import { print, printJson } from '../output';
import { verb, withLongwatch, type CommonFlags } from '../verb';

type Handle = TrackerHandle | BufferHandle | JobHandle;

export function addStop(program: Command): void {
  const text = 'end its workflows; members, values, ticks and entries that are pending stay for the next start';
  add(program, 'stop', text, (of) => of.stop());
}

export function addPause(program: Command): void {
  const text =
    'fetch nothing, run no batch, begin no tick until it is resumed; adds, pushes and runs by hand are still taken';
  add(program, 'pause', text, (of) => of.pause());
}

export function addResume(program: Command): void {
  const text = 'go on after a pause; also takes pools out of quarantine';
  add(program, 'resume', text, (of) => of.resume());
}

function add(
  program: Command,
  word: string,
  text: string,
  act: (of: Handle) => Promise<{ state: string; changed: boolean }>,
): void {
  verb(program, `${word} <name>`, text, [`longwatch ${word} characters`]).action((name: string, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const kind = await longwatch.kindOf(name);
      const result = await act(longwatch[kind](name));
      if (flags.json) return printJson({ [kind]: name, ...result });
      await print(`'${name}' is ${result.changed ? '' : 'already '}${result.state}`);
    }),
  );
}
