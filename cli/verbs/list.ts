/** `longwatch list`: the members of a tracker, one a line, in the order of their ids. */
import type { Command } from 'commander';
import { printId, printJsonPart } from '../output';
import { atLeastOne, verb, wholeNumber, withLongwatch, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  pool?: number;
  after?: string;
  limit?: number;
}

export function addList(program: Command): void {
  verb(program, 'list <tracker>', 'the ids that are tracked', [
    'longwatch list characters',
    'longwatch list characters --pool 3 --json',
    'longwatch list characters --after 2112000100 --limit 50',
  ])
    .option('--pool <n>', 'only the members of one pool', wholeNumber)
    .option('--after <id>', 'only ids that sort after this one')
    .option('--limit <n>', 'at most so many', atLeastOne)
    .action((name: string, flags: Flags) =>
      withLongwatch(flags, async (longwatch) => {
        const members = longwatch.tracker(name).list(flags);
        if (!flags.json) {
          for await (const member of members) await printId(member.id);
          return;
        }
        // Written as it is read: a million members need no memory here.
        let first = true;
        for await (const member of members) {
          await printJsonPart(`${first ? '{"members":[' : ','}${JSON.stringify(member)}`);
          first = false;
        }
        await printJsonPart(first ? '{"members":[]}' : ']}');
      }),
    );
}
