/** `longwatch crash`: for practice, makes the shift of one pool fail; it comes back with all of its members. */
import type { Command } from 'commander';
import { print, printJson } from '../output';
import { operatorVerb, wholeNumber, withLongwatch, type OperatorFlags } from '../verb';

interface Flags extends OperatorFlags {
  pool: number;
}

export function addCrash(program: Command): void {
  operatorVerb(program, 'crash <tracker>', "development: make a pool's shift fail, to see it come back", [
    'longwatch crash characters --pool 0',
  ])
    .requiredOption('--pool <n>', 'which pool', wholeNumber)
    .action((name: string, flags: Flags) =>
      withLongwatch(flags, async (longwatch) => {
        await longwatch.tracker(name).crash(flags.pool, { why: flags.why });
        if (flags.json) return printJson({ tracker: name, pool: flags.pool, asked: true });
        await print(`the shift of pool ${flags.pool} of '${name}' was told to crash; see: npx longwatch pools ${name}`);
      }),
    );
}
