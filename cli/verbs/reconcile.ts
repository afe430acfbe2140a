/** `longwatch reconcile`: compares a list of ids with what is tracked, and makes them alike with `--apply`. */
import type { Command } from 'commander';
import { idInput } from '../id-input';
import { count, plural, print, printJson, remark } from '../output';
import { inline } from '../plain';
import { Progress } from '../progress';
import { operatorVerb, withLongwatch, type OperatorFlags } from '../verb';

interface Flags extends OperatorFlags {
  file: string;
  apply?: boolean;
  wait?: boolean;
}

/** As many ids as a person reads through; `--json` has all of them. */
const SHOWN = 20;

export function addReconcile(program: Command): void {
  operatorVerb(
    program,
    'reconcile <tracker>',
    'what of a list is not tracked, and what is tracked and not in the list',
    ['longwatch reconcile characters --file all.txt', 'longwatch reconcile characters --file all.txt --apply'],
  )
    .requiredOption('--file <file>', 'the ids that should be tracked, one a line; - is standard input')
    .option('--apply', 'add what is missing and remove what is too much')
    .option('--wait', 'with --apply: also wait until that is in the database')
    .action((name: string, flags: Flags) => reconcile(name, flags));
}

async function reconcile(name: string, flags: Flags): Promise<void> {
  const input = idInput([], flags.file);
  const progress = new Progress();
  const result = await withLongwatch(flags, (longwatch) =>
    longwatch.tracker(name).reconcile(input.ids, {
      apply: flags.apply,
      wait: flags.wait,
      why: flags.why,
      position: input.position,
      onProgress: progress.show,
    }),
  ).finally(() => progress.stop());
  if (flags.json) return printJson({ tracker: name, blankLines: input.blank(), ...result });
  await show(`${plural(result.missing.length, 'id')} missing${flags.apply ? ', added' : ''}`, result.missing);
  await show(`${plural(result.surplus.length, 'id')} too much${flags.apply ? ', removed' : ''}`, result.surplus);
  await print(`${plural(result.matching, 'id')} as in the list`);
  const differs = result.missing.length + result.surplus.length > 0;
  if (differs && !flags.apply) remark('nothing was changed; --apply does it');
}

async function show(head: string, ids: string[]): Promise<void> {
  await print(head);
  for (const id of ids.slice(0, SHOWN)) await print(`  ${inline(id)}`);
  if (ids.length > SHOWN) await print(`  … and ${count(ids.length - SHOWN)} more`);
}
