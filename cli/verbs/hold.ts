/** `longwatch hold list|open`: what upstreams asked to be left alone for, and asking them again all the same. */
import type { Command } from 'commander';
import type { HoldSummary } from '../../client/tracker/told';
import { age, print, printJson, short, table } from '../output';
import { inline } from '../plain';
import { operatorVerb, verb, withLongwatch, type CommonFlags, type OperatorFlags } from '../verb';

export function addHold(program: Command): void {
  const hold = program.command('hold').description('operations and trackers that an upstream holds (Retry-After)');
  verb(hold, 'list [tracker]', 'what is held, until when, and what the upstream said', [
    'longwatch hold list',
    'longwatch hold list characters --json',
  ]).action((tracker: string | undefined, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const holds = await (tracker === undefined ? longwatch.holds() : longwatch.tracker(tracker).holds());
      if (flags.json) return printJson(holds);
      if (holds.length === 0) return print('nothing is held');
      await print(
        table(
          [
            { head: 'tracker' },
            { head: 'operation' },
            { head: 'left', right: true },
            { head: 'node' },
            { head: 'reason' },
          ],
          holds.map((one) => [
            one.tracker,
            one.operation ?? 'all',
            age(one.leftMs),
            inline(one.node),
            short(inline(one.reason), 120),
          ]),
        ),
      );
    }),
  );
  operatorVerb(
    hold,
    'open <tracker> [operation]',
    'ask again now: lifts the holds of an operation, or all, members’ own too',
    ['longwatch hold open characters', 'longwatch hold open characters location'],
  ).action((tracker: string, operation: string | undefined, flags: OperatorFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const opened = await longwatch.tracker(tracker).openHolds(operation, { why: flags.why });
      const left = operation === undefined ? [] : await longwatch.tracker(tracker).holds();
      const whole = left.find((one) => one.operation === null);
      if (flags.json) return printJson({ tracker, operation: operation ?? null, opened });
      for (const one of opened) await print(`lifted: ${what(one)}, for ${age(one.leftMs)} more`);
      if (opened.length === 0) await print('nothing was held; members that were held by themselves are asked again');
      if (whole) await print(`the whole tracker is still held: npx longwatch hold open ${tracker}`);
    }),
  );
}

/** One line, for `status` and `show`. */
export function describeHold(hold: HoldSummary): string {
  const { tracker, operation } = hold;
  const open = `npx longwatch hold open ${tracker}${operation === null ? '' : ` ${operation}`}`;
  return `HELD: ${what(hold)}, for ${age(hold.leftMs)} more: ${short(inline(hold.reason), 120)} (${open})`;
}

const what = ({ operation }: HoldSummary): string => (operation === null ? 'all operations' : operation);
