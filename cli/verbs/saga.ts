/** `longwatch saga list|retry|resolve`: compensations that failed for good, and how to mend them. */
import type { Command } from 'commander';
import { print, printJson, table } from '../output';
import { paged, partOf, sayMore, type PageFlags } from '../pages';
import { operatorVerb, verb, withLongwatch, type CommonFlags, type OperatorFlags } from '../verb';

export function addSaga(program: Command): void {
  const saga = program.command('saga').description('compensations that failed for good');
  const list = verb(saga, 'list', 'what could not be taken back', [
    'longwatch saga list',
    'longwatch saga list --json',
  ]);
  paged(list, 1_000).action((flags: CommonFlags & PageFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const { items, next } = await partOf((page) => longwatch.durable.brokenCompensationsPage(page), flags);
      if (flags.json) return printJson({ compensations: items, next });
      if (items.length === 0) return print('nothing is broken');
      await print(
        table(
          [
            { head: 'task' },
            { head: 'activity' },
            { head: 'workflow' },
            { head: 'state' },
            { head: 'attempts', right: true },
            { head: 'since' },
            { head: 'error' },
          ],
          items.map((one) => [
            one.task,
            one.activity,
            one.saga,
            one.state,
            one.attempts,
            one.failedAt,
            (one.error ?? '').slice(0, 80),
          ]),
        ),
      );
      sayMore(next);
    }),
  );
  operatorVerb(saga, 'retry <task>', 'run it again, with all of its attempts', [
    'longwatch saga retry 0193c2…/7',
  ]).action((task: string, flags: OperatorFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const { workflow } = await longwatch.durable.retryCompensation(task, { why: flags.why });
      await (flags.json ? printJson({ task, workflow }) : print(`started as workflow ${workflow}`));
    }),
  );
  operatorVerb(saga, 'resolve <task>', 'say that it was done by hand: it will not run again', [
    "longwatch saga resolve 0193c2…/7 --note 'refunded by bank transfer'",
  ])
    .option('--note <text>', 'what was done', '')
    .action((task: string, flags: OperatorFlags & { note: string }) =>
      withLongwatch(flags, async (longwatch) => {
        await longwatch.durable.resolveCompensation(task, flags.note, { why: flags.why });
        await (flags.json ? printJson({ task, resolved: true }) : print('resolved'));
      }),
    );
}
