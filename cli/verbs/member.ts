/** `longwatch member list|show|reload`: the members of a tracker that receive: state, mail, timers. */
import type { Command } from 'commander';
import type { BriefLife, MemberMessage, WaitingMail } from '../../client/member/lives';
import { givenTracker, withConfigFlag, type ConfigFlag } from '../given-tracker';
import { plural, print, printJson, remark, short, table } from '../output';
import { inline } from '../plain';
import { timesOf, type Times } from '../times';
import { atLeastOne, operatorVerb, verb, withLongwatch, type CommonFlags, type OperatorFlags } from '../verb';

interface ListFlags extends CommonFlags {
  after?: string;
  limit?: number;
}

export function addMember(program: Command): void {
  const member = program.command('member').description('members that receive: their states, mail and timers');
  verb(member, 'list <tracker>', 'those that have a state, by their ids', [
    'longwatch member list rooms',
    'longwatch member list rooms --after lobby --limit 1000 --json',
  ])
    .option('--after <id>', 'only ids after this one')
    .option('--limit <n>', 'at most so many, up to 1000', atLeastOne, 100)
    .action(list);
  withConfigFlag(
    verb(member, 'show <tracker> <id>', 'one of them, with its state and what waits for it', [
      'longwatch member show rooms lobby',
    ]),
  ).action(show);
  operatorVerb(member, 'reload <tracker> <id>', 'its node reads the state anew, with its next turn', [
    "longwatch member reload rooms lobby --why 'the state was mended by hand'",
  ]).action(reload);
}

async function list(tracker: string, { after, limit, ...flags }: ListFlags): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    const page = await longwatch.tracker(tracker).lives({ after, limit });
    if (flags.json) return printJson({ tracker, members: page.items, next: page.next });
    if (page.items.length === 0) return print('none');
    const times = await timesOf(longwatch);
    const columns = ['version', 'state', 'written', 'mail', 'oldest', 'timers'];
    await print(
      table(
        [{ head: 'id' }, ...columns.map((head) => ({ head, right: true }))],
        page.items.map((one) => [
          one.id,
          one.version,
          `${one.stateBytes ?? 0} B`,
          one.writtenAt === null ? null : times.ago(one.writtenAt),
          one.mail.entries,
          one.mail.oldestAt === null ? null : times.since(one.mail.oldestAt),
          one.timers,
        ]),
      ),
    );
    if (page.next !== null) remark(`there may be more; go on with --after '${page.next}'`);
  });
}

async function show(tracker: string, id: string, flags: CommonFlags & ConfigFlag): Promise<void> {
  const of = await givenTracker(tracker, flags);
  await withLongwatch(flags, async (longwatch) => {
    const member = await of(longwatch).member(id).show();
    if (flags.json) return printJson(member);
    const written =
      member.writtenAt === null ? 'no turn yet' : `version ${member.version}, written at ${member.writtenAt}`;
    await print(`${inline(id)}: ${written}`);
    for (const line of describeLife(member, await timesOf(longwatch))) await print(line);
    if (member.dead > 0)
      await print(`${plural(member.dead, 'dead letter')}: npx longwatch dead list ${tracker} --member ${id}`);
    for (const message of member.messages) await print(describeMessage(message));
    await print(JSON.stringify(member.state, null, 2));
  });
}

/** Mail, timers and values that may have ended processes, for `show` as well. */
export function describeLife(
  { mail, timers, struckValues }: Pick<BriefLife, 'mail' | 'timers' | 'struckValues'>,
  times: Times,
): string[] {
  return [
    describeMail(mail, times),
    ...timers.map(
      ({ name, at, attempts, strikes }) =>
        `timer ${inline(name)}: at ${at}${attempts > 0 ? `, failed ${plural(attempts, 'time')}` : ''}${suspected(strikes)}`,
    ),
    ...struckValues.map(
      ({ operation, changedAt, strikes }) => `value of ${inline(operation)} of ${changedAt}${suspected(strikes)}`,
    ),
  ];
}

function describeMail({ entries, bytes, oldestAt }: WaitingMail, times: Times): string {
  if (entries === 0) return 'no mail waits';
  return `mail: ${plural(entries, 'message')}, ${bytes} bytes, the oldest for ${times.since(oldestAt!)}`;
}

function describeMessage(given: MemberMessage): string {
  const { from, message, storedAt, isRequest, attempts, error, notBefore, strikes } = given;
  const kind = isRequest ? 'request' : 'message';
  const failed = error === null ? '' : `; failed ${plural(attempts, 'time')}: ${inline(error)}`;
  const waits = notBefore === null ? '' : `, again at ${notBefore}`;
  return `${kind} from ${inline(from)} at ${storedAt}: ${short(JSON.stringify(message), 100)}${failed}${waits}${suspected(strikes)}`;
}

function suspected(strikes: number): string {
  if (strikes === 0) return '';
  return `; ${strikes === 1 ? 'one process' : `${strikes} processes`} may have ended by it (after three it is handled no more)`;
}

async function reload(tracker: string, id: string, flags: OperatorFlags): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    const { version } = await longwatch.tracker(tracker).member(id).reload({ why: flags.why });
    if (flags.json) return printJson({ tracker, member: id, version });
    await print(`'${id}' of '${tracker}' is read anew with its next turn`);
  });
}
