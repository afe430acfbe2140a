/** `longwatch leases`: which worker runs which durable activity, and until when it may without a renewal. */
import type { Command } from 'commander';
import { age, print, printJson, table } from '../output';
import { paged, partOf, sayMore, type PageFlags } from '../pages';
import { verb, withLongwatch, type CommonFlags } from '../verb';

export function addLeases(program: Command): void {
  const leases = verb(program, 'leases', 'the leases of durable activities: task, worker, time left', [
    'longwatch leases',
    'longwatch leases --limit 20 --json',
  ]);
  paged(leases, 1_000).action((flags: CommonFlags & PageFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const { items, next } = await partOf((page) => longwatch.durable.leasesPage(page), flags);
      if (flags.json) return printJson({ leases: items, next });
      if (items.length === 0) return print('no lease is held');
      await print(
        table(
          [
            { head: 'task' },
            { head: 'activity' },
            { head: 'worker' },
            { head: 'attempt', right: true },
            { head: 'held for', right: true },
            { head: 'left', right: true },
            { head: 'resource' },
          ],
          items.map((lease) => [
            lease.task,
            lease.activity,
            lease.owner,
            lease.attempt,
            age(lease.heldMs),
            lease.leftMs < 0 ? 'run out' : age(lease.leftMs),
            lease.resource ?? '',
          ]),
        ),
      );
      sayMore(next);
    }),
  );
}
