/**
 * `longwatch dead list|show|retry|drop|restore`: the dead letters of a buffer, or of a tracker's members. `retry`,
 * `drop` and `restore` only say what they would do until `--apply`.
 */
import type { Command } from 'commander';
import type { DeadEntry, DeadFilter, DeadResult } from '../../client/buffer/dead';
import type { Longwatch } from '../../client/longwatch';
import type { DeadLetter, DeadLetterFilter, DeadLettersResult } from '../../client/member/dead';
import { UsageError } from '../errors';
import { givenTracker, withConfigFlag, type ConfigFlag } from '../given-tracker';
import { inline } from '../plain';
import { count, plural, print, printJson, remark, short, table } from '../output';
import { paged, partOf, sayMore } from '../pages';
import { timesOf } from '../times';
import { operatorVerb, seconds, verb, withLongwatch, type CommonFlags, type OperatorFlags } from '../verb';

/** Letters of a list, where no number is given. */
const LISTED = 1_000;

interface FilterFlags extends CommonFlags {
  error?: string;
  group?: string;
  olderThan?: number;
  member?: string;
}

interface ListFlags extends FilterFlags {
  byError?: boolean;
  after?: string;
  limit?: number;
  recorded?: boolean;
}

interface ActFlags extends FilterFlags, OperatorFlags, ConfigFlag {
  all?: boolean;
  apply?: boolean;
  dryRun?: boolean;
  front?: boolean;
  note?: string;
}

export function addDead(program: Command): void {
  const dead = program.command('dead').description('dead letters: entries and messages that have failed too often');
  const listed = filtered(
    verb(dead, 'list <name>', 'the oldest first', [
      'longwatch dead list blocks',
      "longwatch dead list blocks --error 'not found' --older-than 3600 --json",
      'longwatch dead list rooms --member lobby          # of the members of a tracker',
    ]),
  );
  paged(listed)
    .option('--recorded', 'also those that were retried or dropped')
    .option('--by-error', 'how many of which error, the same but for numbers as one')
    .action(list);
  verb(dead, 'show <name> <id>', 'one of them, with its errors', ['longwatch dead show blocks 0-4711']).action(show);
  for (const [action, text] of [
    ['retry', 'bring them back: pending again, with all of their attempts'],
    ['drop', 'drop them; a record stays'],
    ['restore', 'take a drop back: entries again, accepted anew'],
  ] as const) {
    const made = filtered(
      operatorVerb(dead, `${action} <name> [id...]`, `${text}; a dry run without --apply`, [
        `longwatch dead ${action} blocks 0-4711 --apply`,
        `longwatch dead ${action} blocks --error timeout            # what it would do`,
        `longwatch dead ${action} blocks --all --apply`,
      ]),
    )
      .option('--all', 'all of them')
      .option('--apply', 'do it')
      .option('--dry-run', 'only say what it would do, as without --apply')
      .option('--note <text>', 'why, for the records of the letters');
    if (action === 'retry') withConfigFlag(made.option('--front', 'to the front, not the back'));
    made.action((buffer: string, ids: string[], flags: ActFlags) => act(action, buffer, ids, flags));
  }
}

function filtered(command: Command): Command {
  return command
    .option('--error <text>', 'only where the last error has this text')
    .option('--group <text>', 'only where the last error is this, but for numbers and ids: a line of list --by-error')
    .option('--member <id>', 'only those of this member of a tracker')
    .option('--older-than <seconds>', 'only those that died at least so long ago', seconds);
}

const filterOf = (flags: FilterFlags, ids?: string[]): DeadLetterFilter => ({
  ...(ids && ids.length > 0 ? { ids } : {}),
  ...(flags.error === undefined ? {} : { error: flags.error }),
  ...(flags.group === undefined ? {} : { group: flags.group }),
  ...(flags.olderThan === undefined ? {} : { olderThanMs: flags.olderThan * 1_000 }),
  ...(flags.member === undefined ? {} : { member: flags.member }),
});

/** The kind of what has them. A name that nobody has is a tracker's, whose handle says what there is. */
async function kindOf(longwatch: Longwatch, name: string, flags: ListFlags): Promise<'buffer' | 'tracker'> {
  const kind = await longwatch.kindOf(name);
  if (kind === 'job')
    throw new UsageError(`'${name}' is a job, and has failed rows: npx longwatch sweep failed ${name}`);
  if (kind === 'tracker' && (flags.group !== undefined || flags.byError)) {
    throw new UsageError(`'${name}' is a tracker; --group and --by-error are for buffers: take --error`);
  }
  if (kind === 'tracker') return kind;
  if (flags.member !== undefined)
    throw new UsageError(`'${name}' is a buffer; --member is for the members of a tracker`);
  return kind;
}

async function list(name: string, flags: ListFlags): Promise<void> {
  if (flags.byError) return listByError(name, flags);
  await withLongwatch(flags, async (longwatch) => {
    const kind = await kindOf(longwatch, name, flags);
    if (kind === 'tracker' && flags.recorded) {
      throw new UsageError(`'${name}' is a tracker, and keeps no record of letters that were retried or dropped`);
    }
    const filter = filterOf(flags);
    const { items: found, next } = await partOf<DeadEntry | DeadLetter>(
      (page) =>
        kind === 'buffer'
          ? longwatch.buffer(name).dead.page({ ...filter, ...page, all: flags.recorded })
          : longwatch.tracker(name).dead.page({ ...filter, ...page }),
      { after: flags.after, limit: flags.limit ?? LISTED },
    );
    if (flags.json) return printJson({ [kind]: name, dead: found, next });
    if (found.length === 0) return print('none');
    const times = await timesOf(longwatch, { written: true });
    const columns = [{ head: 'id' }, { head: 'died' }, { head: 'attempts', right: true }];
    const what = kind === 'buffer' ? ['state', 'entry'] : ['member', 'message'];
    await print(
      table(
        [...columns, ...what.map((head) => ({ head })), { head: 'error' }],
        found.map((letter) => [
          letter.id,
          times.ago(letter.diedAt),
          letter.attempts,
          'state' in letter ? letter.state : letter.member,
          short(JSON.stringify(letter.value), 50),
          short(letter.error, 80),
        ]),
      ),
    );
    sayMore(next);
  });
}

async function listByError(name: string, flags: ListFlags): Promise<void> {
  if (Object.keys(filterOf(flags)).length > 0 || flags.recorded || (flags.limit ?? flags.after) !== undefined)
    throw new UsageError('--by-error counts all dead letters: give it no other filter');
  await withLongwatch(flags, async (longwatch) => {
    await kindOf(longwatch, name, flags);
    const report = await longwatch.buffer(name).dead.byError();
    if (flags.json) return printJson({ buffer: name, ...report });
    if (report.groups.length === 0) return print('none');
    const times = await timesOf(longwatch, { written: true });
    await print(
      table(
        [{ head: 'letters', right: true }, { head: 'last died' }, { head: 'for instance' }, { head: 'error' }],
        report.groups.map((group) => [count(group.letters), times.ago(group.lastDiedAt), group.example.id, group.text]),
      ),
    );
    if (!report.complete) remark(`of the newest ${count(report.looked)}; there are more`);
  });
}

async function show(name: string, id: string, flags: CommonFlags): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    if ((await kindOf(longwatch, name, flags)) === 'tracker') return showMessage(longwatch, name, id, flags);
    const letter = await longwatch.buffer(name).dead.show(id);
    if (flags.json) return printJson(letter);
    await print(`${letter.id}: ${letter.state}, ${letter.attempts} attempt(s), died at ${letter.diedAt}`);
    if (letter.key !== null) await print(`key: ${inline(letter.key)}`);
    for (const { at, error } of letter.errors) await print(`${new Date(at).toISOString()}  ${inline(error)}`);
    if (letter.op !== null)
      await print(`${letter.state} at ${letter.changedAt}${letter.note ? `: ${inline(letter.note)}` : ''}`);
    await print(JSON.stringify(letter.value, null, 2));
  });
}

async function showMessage(longwatch: Longwatch, name: string, id: string, flags: CommonFlags): Promise<void> {
  const letter = await longwatch.tracker(name).dead.show(id);
  if (flags.json) return printJson(letter);
  await print(`${letter.id}: for '${inline(letter.member)}', ${letter.attempts} attempt(s), died at ${letter.diedAt}`);
  await print(`from: ${inline(letter.from)}`);
  if (letter.replyTo) await print(`reply to: ${inline(letter.replyTo.id)} of ${letter.replyTo.tracker}`);
  if (letter.trace) await print(`trace: ${inline(JSON.stringify(letter.trace))}`);
  await print(inline(letter.error));
  await print(JSON.stringify(letter.value, null, 2));
}

type Action = 'retry' | 'drop' | 'restore';

const DONE: Record<Action, { buffer: string; tracker: string }> = {
  retry: { buffer: 'pending again', tracker: 'mail again' },
  drop: { buffer: 'dropped', tracker: 'dropped' },
  restore: { buffer: 'pending within half a minute', tracker: 'restored' },
};

async function act(action: Action, name: string, ids: string[], flags: ActFlags): Promise<void> {
  const filter = filterOf(flags, ids);
  if (Object.keys(filter).length === 0 && !flags.all) {
    throw new UsageError('say which: ids, --member, --error, --group, --older-than, or --all');
  }
  if (flags.apply && flags.dryRun) throw new UsageError('--apply does it, and --dry-run does not: give one of them');
  await withLongwatch(flags, async (longwatch) => {
    const kind = await kindOf(longwatch, name, flags);
    const result =
      kind === 'buffer'
        ? await ofBuffer(longwatch, action, name, filter, flags)
        : await ofTracker(longwatch, action, name, filter, flags);
    if (flags.json) return printJson({ [kind]: name, action, ...result });
    const letters = plural(result.chosen, 'dead letter');
    const done = DONE[action][kind];
    await print(result.applied ? `${letters} ${done}` : `${letters} would be ${done}`);
    if (!result.applied && result.chosen > 0) remark('do it with --apply');
  });
}

function ofBuffer(
  longwatch: Longwatch,
  action: Action,
  name: string,
  filter: DeadFilter,
  { apply, front, note, why }: ActFlags,
): Promise<DeadResult> {
  return longwatch.buffer(name).dead[action](filter, { apply, front, note, why });
}

async function ofTracker(
  longwatch: Longwatch,
  action: Action,
  name: string,
  filter: DeadLetterFilter,
  { apply, front, note, why, config }: ActFlags,
): Promise<DeadLettersResult> {
  if (action === 'restore') throw new UsageError(`'${name}' is a tracker: what is dropped of its members is gone`);
  if (front) throw new UsageError(`'${name}' is a tracker: what is brought back waits behind the member's mail`);
  const of = await givenTracker(name, { config });
  return of(longwatch).dead[action](filter, { apply, why: why ?? note });
}
