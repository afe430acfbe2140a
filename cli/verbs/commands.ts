/** `longwatch stop`, `pause` and `resume`: one word to the workflow of a tracker, buffer or job each. */
import type { Command } from 'commander';
import type { BufferHandle } from '../../client/buffer/handle';
import type { JobHandle } from '../../client/job/handle';
import type { TrackerHandle } from '../../client/tracker/handle';
import { print, printJson } from '../output';
import type { CommandOptions } from '../../client/audit';
import { operatorVerb, withLongwatch, type OperatorFlags } from '../verb';

type Handle = TrackerHandle | BufferHandle | JobHandle;

export function addStop(program: Command): void {
  const text = 'end its workflows; members, values, ticks and entries that are pending stay for the next start';
  add(program, 'stop', text, (of, told) => of.stop(told));
}

export function addPause(program: Command): void {
  const text =
    'fetch nothing, handle no message, run no batch, begin no tick until it is resumed; ' +
    'adds, messages, pushes and runs by hand are still taken';
  add(program, 'pause', text, (of, told) => of.pause(told));
}

export function addResume(program: Command): void {
  const text = 'go on after a pause; also takes pools out of quarantine';
  add(program, 'resume', text, (of, told) => of.resume(told));
}

function add(
  program: Command,
  word: string,
  text: string,
  act: (of: Handle, told: CommandOptions) => Promise<{ state: string; changed: boolean }>,
): void {
  const examples = [
    `longwatch ${word} characters`,
    `longwatch ${word} characters --why 'the upstream is being mended'`,
  ];
  operatorVerb(program, `${word} <name>`, text, examples).action((name: string, flags: OperatorFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const kind = await longwatch.kindOf(name);
      const result = await act(longwatch.unit(kind, name), { why: flags.why });
      if (flags.json) return printJson({ [kind]: name, ...result });
      await print(`'${name}' is ${result.changed ? '' : 'already '}${result.state}`);
    }),
  );
}
