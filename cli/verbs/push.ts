/**
 * `longwatch push` and `flush`: entries for a buffer, from the command line, a file or a pipe. Next:
 * `BufferHandle.push` of the library.
 */
import type { Command } from 'commander';
import type { BufferDefinition } from '../../config/define/buffer';
import { entryInput } from '../entry-input';
import type { Longwatch } from '../../client/longwatch';
import { lazy } from '../lazy';
import { count, plural, print, printJson, remark } from '../output';
import { Progress } from '../progress';
import { operatorVerb, seconds, verb, wait, withLongwatch, type CommonFlags, type OperatorFlags } from '../verb';

interface Flags extends CommonFlags {
  file?: string;
  front?: boolean;
  after?: number;
  wait?: boolean;
  timeout: number;
  config?: string;
}

export function addPush(program: Command): void {
  verb(program, 'push <buffer> [entry...]', 'give entries to a buffer: JSON, one an argument or one a line', [
    'longwatch push blocks 17 18',
    'longwatch push blocks \'{"number": 17}\' --front',
    'longwatch push blocks --file entries.jsonl',
    'jq -c .[] entries.json | npx longwatch push blocks --file - --wait',
  ])
    .option('--file <file>', 'one entry a line; - is standard input')
    .option('--front', 'before everything that was not pushed so')
    .option('--after <seconds>', 'not before so long from now', seconds)
    .option('--wait', "wait for the buffer's own word that it has accepted them")
    .option('--timeout <seconds>', 'how long to wait for room or an answer', wait, 5)
    .option('--config <file>', "the config module, where the buffer's key is a function")
    .action(push);
}

async function push(name: string, given: string[], flags: Flags): Promise<void> {
  const { entries, blank } = await entryInput(given, flags.file);
  const config = flags.config === undefined ? undefined : (await lazy.load().loadConfig(flags.config)).config;
  const definition = config?.buffers.find((buffer) => buffer.name === name)?.definition as BufferDefinition | undefined;
  const progress = new Progress('entries');
  const pushed = async (longwatch: Longwatch) => {
    const buffer = definition ? longwatch.buffer(definition) : longwatch.buffer(name);
    return buffer.push(entries, {
      front: flags.front,
      at:
        flags.after === undefined
          ? undefined
          : Date.parse(await longwatch.now({ written: true })) + flags.after * 1_000,
      wait: flags.wait,
      timeoutMs: flags.timeout * 1_000,
      onProgress: ({ entries: ids }) => progress.show({ step: 'accepted', ids, total: entries.length }),
    });
  };
  // The config's codec, or what is pushed would lie in Temporal in clear.
  const result = await withLongwatch(flags, pushed, undefined, config?.dataConverter).finally(() => progress.stop());
  if (flags.json) return printJson({ buffer: name, blankLines: blank, ...result });
  await print(`${result.accepted === 1 ? '1 entry' : `${count(result.accepted)} entries`} accepted by '${name}'`);
  if (blank > 0) remark(`${plural(blank, 'blank line')} skipped`);
}

export function addFlush(program: Command): void {
  operatorVerb(program, 'flush <buffer>', 'run what waits for its batch to fill', ['longwatch flush blocks']).action(
    (name: string, flags: OperatorFlags) =>
      withLongwatch(flags, async (longwatch) => {
        const result = await longwatch.buffer(name).flush({ why: flags.why });
        await (flags.json ? printJson({ buffer: name, ...result }) : print(`'${name}' is flushed`));
      }),
  );
}
