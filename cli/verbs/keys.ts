/** `longwatch keys list|show|delete`: the idempotency keys of an activity, what one has stored, and forgetting it. */
import type { Command } from 'commander';
import { inline } from '../plain';
import { print, printJson, table } from '../output';
import { paged, partOf, sayMore, type PageFlags } from '../pages';
import { operatorVerb, verb, withLongwatch, type CommonFlags, type OperatorFlags } from '../verb';

export function addKeys(program: Command): void {
  const keys = program.command('keys').description('idempotency keys of durable activities');
  const list = verb(keys, 'list <activity>', 'the keys of an activity, and what came of each', [
    'longwatch keys list pay',
    'longwatch keys list pay --limit 20 --json',
  ]);
  paged(list, 100).action((activity: string, flags: CommonFlags & PageFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const { items, next } = await partOf((page) => longwatch.durable.keysPage(activity, page), flags);
      if (flags.json) return printJson({ activity, keys: items, next });
      if (items.length === 0) return print('it has no keys');
      await print(
        table(
          [{ head: 'key' }, { head: 'state' }, { head: 'attempts', right: true }, { head: 'since' }, { head: 'task' }],
          items.map((one) => [one.key, one.state, one.attempts, one.createdAt, one.task]),
        ),
      );
      sayMore(next);
    }),
  );
  verb(keys, 'show <activity> <key>', 'the state of a key, and its result', [
    "longwatch keys show pay 'order 17'",
    "longwatch keys show pay 'order 17' --json",
  ]).action((activity: string, key: string, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const found = await longwatch.durable.key(activity, key);
      if (flags.json) return printJson(found);
      await print(
        `${found.state} by ${inline(found.task)} of ${inline(found.workflow)}, ${found.attempts} attempt(s), since ${found.createdAt}`,
      );
      if (found.error !== null) await print(`last error: ${inline(found.error)}`);
      if (found.state === 'done') await print(`result: ${JSON.stringify(found.result)}`);
      if (found.otherInputs > 0) {
        await print(
          `used ${found.otherInputs} time(s) to ask for something else, last at ${found.otherInputAt} by ${inline(found.otherInputBy ?? '')}`,
        );
      }
      if (found.expiresAt !== null) await print(`forgotten at ${found.expiresAt}`);
    }),
  );
  operatorVerb(keys, 'delete <activity> <key>', 'forget a key: the next call with it runs the activity again', [
    "longwatch keys delete pay 'order 17'",
  ]).action((activity: string, key: string, flags: OperatorFlags) =>
    withLongwatch(flags, async (longwatch) => {
      await longwatch.durable.deleteKey(activity, key, { why: flags.why });
      await (flags.json ? printJson({ activity, key, deleted: true }) : print('forgotten'));
    }),
  );
}
