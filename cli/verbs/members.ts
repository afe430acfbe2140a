/**
 * `longwatch members` and `longwatch errors`: the members of a tracker that somebody looks for: by the beginning of
 * their ids, those that fail, those that are the oldest, and what the errors say.
 */
import type { Command } from 'commander';
import type { Longwatch } from '../../client/longwatch';
import { UsageError } from '../errors';
import { age, count, print, printJson, remark, short, table } from '../output';
import { timesOf } from '../times';
import { atLeastOne, verb, withLongwatch, type CommonFlags } from '../verb';

interface Flags extends CommonFlags {
  prefix?: string;
  failing?: boolean;
  oldest?: boolean;
  operation?: string;
  after?: string;
  limit?: number;
}

export function addMembers(program: Command): void {
  verb(program, 'members <tracker>', 'some members: by the beginning of their ids, the failing or the oldest ones', [
    'longwatch members characters --prefix 2112',
    'longwatch members characters --failing --operation wallet',
    'longwatch members characters --oldest --limit 20 --json',
  ])
    .option('--prefix <text>', 'ids that begin with it')
    .option('--failing', 'those that have failed since their last success')
    .option('--oldest', 'those whose last success is the longest past')
    .option('--operation <name>', 'only of this operation, with --failing or --oldest')
    .option('--after <cursor>', 'the next page, as the one before said')
    .option('--limit <n>', 'at most so many', atLeastOne)
    .action(members);
}

export function addErrors(program: Command): void {
  verb(program, 'errors <tracker>', 'what the errors of failing members say, the same but for numbers as one', [
    'longwatch errors characters',
    'longwatch errors characters --operation wallet --json',
  ])
    .option('--operation <name>', 'only of this operation')
    .action((name: string, flags: CommonFlags & { operation?: string }) => errors(name, flags));
}

async function members(name: string, flags: Flags): Promise<void> {
  const { prefix, failing, oldest, operation, after } = flags;
  if ([prefix !== undefined, failing, oldest].filter((given) => given === true).length > 1)
    throw new UsageError('only one of --prefix, --failing and --oldest can be asked for');
  if (operation !== undefined && !failing && !oldest)
    throw new UsageError('--operation goes with --failing or --oldest');
  if (oldest && after !== undefined) throw new UsageError('--oldest has one page: --limit makes it longer');
  await withLongwatch(flags, (longwatch) => {
    const show = failing ? showFailing : oldest ? showOldest : showMembers;
    return show(longwatch, name, flags);
  });
}

async function showMembers(longwatch: Longwatch, name: string, flags: Flags): Promise<void> {
  const { prefix, after, limit } = flags;
  const { items, next } = await longwatch.tracker(name).members({ prefix, after, limit });
  if (flags.json) return printJson({ members: items, next });
  const times = await timesOf(longwatch);
  if (items.length === 0) await print('none');
  else
    await print(
      table(
        [{ head: 'id' }, { head: 'pool', right: true }, { head: 'node' }, { head: 'last run' }, { head: 'failing' }],
        items.map((one) => [one.id, one.pool, one.node, times.ago(one.lastRunAt), one.failing.join(', ')]),
      ),
    );
  more(next);
}

async function showFailing(longwatch: Longwatch, name: string, flags: Flags): Promise<void> {
  const { operation, after, limit } = flags;
  const { items, next } = await longwatch.tracker(name).failing({ operation, after, limit });
  if (flags.json) return printJson({ failing: items, next });
  const times = await timesOf(longwatch);
  if (items.length === 0) await print('none');
  else
    await print(
      table(
        [...OF_OPERATION, { head: 'failures', right: true }, { head: 'last good' }, { head: 'error' }],
        items.map((one) => [
          ...[one.id, one.operation, one.pool, one.node, one.failures, times.ago(one.fetchedAt), short(one.error, 80)],
        ]),
      ),
    );
  more(next);
}

async function showOldest(longwatch: Longwatch, name: string, flags: Flags): Promise<void> {
  const { operation, limit } = flags;
  const oldest = await longwatch.tracker(name).oldest({ operation, limit });
  if (flags.json) return printJson({ oldest });
  if (oldest.length === 0) return print('none; nodes tell of their oldest members every ten seconds or so');
  await print(
    table(
      [...OF_OPERATION, { head: 'age', right: true }, { head: 'failures', right: true }, { head: 'error' }],
      oldest.map((one) => [
        ...[one.id, one.operation, one.pool, one.node, age(one.ageMs), one.failures],
        one.error === null ? (one.fetchedAt === null ? 'never fetched' : '') : short(one.error, 80),
      ]),
    ),
  );
}

async function errors(name: string, flags: CommonFlags & { operation?: string }): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    const report = await longwatch.tracker(name).errors({ operation: flags.operation });
    if (flags.json) return printJson(report);
    if (report.groups.length === 0) return print('none');
    await print(
      table(
        [{ head: 'members', right: true }, { head: 'operation' }, { head: 'error' }, { head: 'for instance' }],
        report.groups.map((group) => [count(group.members), group.operation, short(group.text, 80), group.example.id]),
      ),
    );
    if (!report.complete) remark(`of ${count(report.looked)} that were looked at; there are more`);
  });
}

const OF_OPERATION = [{ head: 'id' }, { head: 'operation' }, { head: 'pool', right: true }, { head: 'node' }];

function more(next: string | null): void {
  if (next !== null) remark(`there may be more: --after '${next}'`);
}
