/** `longwatch show`: one member, where it is kept and what is known of it. */
import type { Command } from 'commander';
import { age, print, printJson, table } from '../output';
import { inline } from '../plain';
import type { WaitSummary } from '../../client/tracker/waits';
import { describeHold } from './hold';
import { describeLife } from './member';
import { verb, withLongwatch, type CommonFlags } from '../verb';

export function addShow(program: Command): void {
  verb(program, 'show <tracker> <id>', 'one id: its pool, node, values and their age, mail and timers', [
    'longwatch show characters 2112000001',
    'longwatch show characters 2112000001 --json',
  ]).action((name: string, id: string, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const member = await longwatch.tracker(name).show(id);
      if (flags.json) return printJson(member);
      await print(
        `${member.id}: pool ${member.pool}, ${member.node === null ? 'no node yet' : `node ${inline(member.node)}`}, ` +
          `tracked since ${member.addedAt}`,
      );
      for (const hold of member.holds) await print(describeHold(hold));
      for (const wait of member.waits) await print(describeWait(wait));
      if (member.life) for (const line of describeLife(member.life)) await print(line);
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
            heldFor(value.heldUntil),
            nextAt(value.nextAt),
            value.error === null ? shorten(JSON.stringify(value.value)) : `failed: ${shorten(value.error)}`,
          ]),
        ),
      );
    }),
  );
}

/** How long the member is left alone still: its upstream asked for it, or it fails again and again. */
function heldFor(until: string | null): string {
  const left = until === null ? 0 : Date.parse(until) - Date.now();
  return left > 0 ? age(left) : '-';
}

/** `location: next at 12:00:05, held by esi/group:90000001 until then` */
function describeWait({ operation, bucket, closed, until, since }: WaitSummary): string {
  const held = `held by ${inline(bucket)}${closed ? ', which is closed,' : ''}`;
  if (until === null)
    return `${operation}: next when there are tokens, ${held} for ${age(Date.now() - Date.parse(since))}`;
  return `${operation}: next at ${clock(until)}, ${held} until ${clock(until)}`;
}

function nextAt(at: string | null): string {
  if (at === null) return '-';
  return Date.parse(at) <= Date.now() ? 'now' : clock(at);
}

const clock = (time: string): string => time.slice(11, 19);

const shorten = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);
