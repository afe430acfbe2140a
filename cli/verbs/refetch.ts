/**
 * `longwatch refetch`: forgets ETags and expiries, so that ids are asked anew; their values stay until there are
 * others.
 */
import type { Command } from 'commander';
import { ProblemsFoundError } from '../../client/errors';
import { count, plural, print, printJson } from '../output';
import { inline } from '../plain';
import { operatorVerb, withLongwatch, type OperatorFlags } from '../verb';

interface Flags extends OperatorFlags {
  operation?: string;
}

export function addRefetch(program: Command): void {
  operatorVerb(
    program,
    'refetch <tracker> [id...]',
    'forget ETags and expiries: ask these ids, or all, anew; values stay',
    ['longwatch refetch characters', 'longwatch refetch characters 2112000001 --operation location'],
  )
    .option('--operation <name>', 'only this operation')
    .action((name: string, ids: string[], flags: Flags) =>
      withLongwatch(flags, async (longwatch) => {
        const given = ids.length > 0 ? ids : undefined;
        const result = await longwatch.tracker(name).refetch(given, { operation: flags.operation, why: flags.why });
        if (flags.json) await printJson(result);
        else await print(`${plural(result.members, 'member')} will be asked anew`);
        if (result.notTracked.length === 0) return;
        const shown = result.notTracked.slice(0, 10).map((id) => inline(id));
        const more = result.notTracked.length > 10 ? ', …' : '';
        throw new ProblemsFoundError(`${count(result.notTracked.length)} not tracked: ${shown.join(', ')}${more}`);
      }),
    );
}
