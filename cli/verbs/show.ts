/** `longwatch show`: one member, where it is kept and what is known of it. */
import type { Command } from 'commander';
import type { MemberDetails, StoredValue } from '../../client/tracker/members';
import type { TrackerDefinition } from '../../config/define/tracker';
import { lazy } from '../lazy';
import { age, print, printJson, remark, short, table } from '../output';
import { inline } from '../plain';
import type { WaitSummary } from '../../client/tracker/waits';
import { timesOf, type Times } from '../times';
import { describeHold } from './hold';
import { describeLife } from './member';
import { verb, withLongwatch, type CommonFlags } from '../verb';

export function addShow(program: Command): void {
  verb(program, 'show <tracker> <id>', 'one id: its pool, node, values and their age, mail and timers', [
    'longwatch show characters 2112000001',
    'longwatch show characters 2112000001 --json',
    'longwatch show characters 2112000001 --next',
  ])
    .option('--config <file>', 'the config module with the codecs of values (longwatch.config.ts in this folder)')
    .option('--next', 'only when each operation runs next, and all that holds it back')
    .action((name: string, id: string, flags: Flags) => (flags.next ? showNext : show)(name, id, flags));
}

interface Flags extends CommonFlags {
  config?: string;
  next?: boolean;
}

async function showNext(name: string, id: string, flags: CommonFlags): Promise<void> {
  const [runs, times] = await withLongwatch(flags, async (longwatch) => {
    const found = await longwatch.tracker(name).next(id);
    return [found, await timesOf(longwatch)] as const;
  });
  if (flags.json) return printJson({ tracker: name, id, next: runs });
  await print(
    table(
      [{ head: 'operation' }, { head: 'next at' }, { head: 'until' }, { head: 'because' }],
      runs.flatMap(({ operation, at, reasons }) => {
        const first = [operation, at === null ? 'nobody knows' : nextAt(at, times)];
        if (reasons.length === 0) return [[...first, '', 'it is due']];
        return reasons.map(({ until, text }, i) => [
          ...(i === 0 ? first : ['', '']),
          until === null ? '' : times.clock(until),
          text,
        ]);
      }),
    ),
  );
}

async function show(name: string, id: string, flags: Flags): Promise<void> {
  const [found, times] = await withLongwatch(flags, async (longwatch) => {
    const stored = await longwatch.tracker(name).show(id);
    return [stored, await timesOf(longwatch)] as const;
  });
  const member = isEncoded(found) ? await inClear(found, flags) : found;
  if (flags.json) return printJson(member);
  await describe(member, times);
  const { encodedBy } = member.values.find((value) => value.encodedBy !== null) ?? {};
  if (encodedBy == null) return;
  const failed = member.values.find(({ decodeError }) => decodeError !== null)?.decodeError;
  remark(
    failed ??
      `values are encoded by '${encodedBy}'; with the config that has it (--config FILE) they are shown in clear`,
  );
}

const isEncoded = ({ values }: MemberDetails): boolean => values.some(({ encodedBy }) => encodedBy !== null);

/** Once more, with the codecs of the config where there is one. A config that was named must be usable. */
async function inClear(found: MemberDetails, flags: Flags): Promise<MemberDetails> {
  let definition: TrackerDefinition | undefined;
  try {
    const { config } = await lazy.load().loadConfig(flags.config);
    definition = config.trackers.find(({ name }) => name === found.tracker)?.definition;
  } catch (error) {
    if (flags.config !== undefined) throw error;
  }
  if (!definition) return found;
  return withLongwatch(flags, (longwatch) => longwatch.tracker(definition).show(found.id));
}

async function describe(member: MemberDetails, times: Times): Promise<void> {
  await print(`${member.id}: pool ${member.pool}, ${keeperOf(member)}, tracked since ${member.addedAt}`);
  for (const hold of member.holds) await print(describeHold(hold));
  for (const wait of member.waits) await print(describeWait(wait, times));
  if (member.life) for (const line of describeLife(member.life, times)) await print(line);
  if (member.values.length === 0) return print('nothing fetched yet');
  await print(
    table(
      [
        { head: 'operation' },
        { head: 'age', right: true },
        { head: 'failures', right: true },
        { head: 'held for', right: true },
        { head: 'next at', right: true },
        { head: 'value' },
      ],
      member.values.map((value) => [
        value.operation,
        age(value.ageMs),
        value.failures,
        heldFor(value.heldUntil, times),
        nextAt(value.nextAt, times),
        value.error === null ? valueOf(value) : `failed: ${short(value.error, 100)}`,
      ]),
    ),
  );
}

function keeperOf({ state, node }: MemberDetails): string {
  if (state === 'stopped') return 'of a tracker that is stopped';
  const keeper = node === null ? 'no node yet' : `node ${inline(node)}`;
  return state === 'paused' ? `${keeper}, of a tracker that is paused` : keeper;
}

/** How long the member is left alone still: its upstream asked for it, or it fails again and again. */
function heldFor(until: string | null, times: Times): string {
  const left = until === null ? 0 : times.leftMs(until);
  return left > 0 ? age(left) : '-';
}

/** `location: next at 12:00:05, held by esi/group:90000001 until then` */
function describeWait({ operation, bucket, closed, until, since }: WaitSummary, times: Times): string {
  const held = `held by ${inline(bucket)}${closed ? ', which is closed,' : ''}`;
  if (until === null) return `${operation}: next when there are tokens, ${held} for ${times.since(since)}`;
  return `${operation}: next at ${times.clock(until)}, ${held} until ${times.clock(until)}`;
}

function nextAt(at: string | null, times: Times): string {
  if (at === null) return '-';
  return times.leftMs(at) <= 0 ? 'now' : times.clock(at);
}

function valueOf({ value, encodedBy, hidden }: StoredValue): string {
  if (hidden) return 'hidden by its definition';
  return encodedBy === null ? short(JSON.stringify(value), 100) : `encoded by ${inline(encodedBy)}`;
}
