/**
 * `longwatch add` and `remove`: ids from the command line, a file or a pipe. Next: `TrackerHandle.add` of the library.
 */
import type { Command } from 'commander';
import type { RosterResult } from '../../client/tracker/roster';
import { idInput } from '../id-input';
import { plural, print, printJson, remark } from '../output';
import { Progress } from '../progress';
import { verb, wait, withLongwatch, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  file?: string;
  wait?: boolean;
  timeout?: number;
}

export function addAdd(program: Command): void {
  make(program, 'add', 'track ids', [
    'longwatch add characters 2112000001 2112000002',
    'longwatch add characters --file ids.txt',
    "psql -Atc 'select id from pilots' | npx longwatch add characters --file - --wait",
  ]);
}

export function addRemove(program: Command): void {
  make(program, 'remove', 'stop tracking ids and forget their values', [
    'longwatch remove characters 2112000001',
    'longwatch remove characters --file gone.txt --wait',
  ]);
}

function make(program: Command, change: 'add' | 'remove', text: string, examples: string[]): void {
  verb(program, `${change} <tracker> [id...]`, text, examples)
    .option('--file <file>', 'one id a line; - is standard input')
    .option(
      '--wait',
      change === 'add'
        ? 'also wait until every id is in the database, and a live node keeps it'
        : 'also wait until every id is in the database',
    )
    .option('--timeout <seconds>', '--wait gives up when nothing more happens for so long', wait, 60)
    .action((tracker: string, ids: string[], flags: Flags) => run(change, tracker, ids, flags));
}

async function run(change: 'add' | 'remove', name: string, given: string[], flags: Flags): Promise<void> {
  const input = idInput(given, flags.file);
  const progress = new Progress();
  const result = await withLongwatch(flags, (longwatch) => {
    const options = {
      wait: flags.wait && change === 'add' ? ('live' as const) : flags.wait,
      waitTimeoutMs: flags.timeout === undefined ? undefined : flags.timeout * 1_000,
      position: input.position,
      onProgress: progress.show,
    };
    const tracker = longwatch.tracker(name);
    return change === 'add' ? tracker.add(input.ids, options) : tracker.remove(input.ids, options);
  }).finally(() => progress.stop());
  if (flags.json) return printJson({ tracker: name, change, blankLines: input.blank(), ...result });
  await print(sentence(change, name, result));
  if (result.duplicates > 0) remark(`${plural(result.duplicates, 'duplicate')} in the list, each sent once`);
  if (input.blank() > 0) remark(`${plural(input.blank(), 'blank line')} skipped`);
  if (result.state === 'paused' && change === 'add') remark(`'${name}' is paused: they are watched once it is resumed`);
}

function sentence(change: 'add' | 'remove', name: string, result: RosterResult): string {
  const ids = plural(result.accepted, 'id');
  if (!result.applied) return `${ids} accepted, to ${change} ${change === 'add' ? 'to' : 'from'} '${name}'`;
  return change === 'add' ? `${ids} tracked by '${name}'` : `${ids} removed from '${name}'`;
}
