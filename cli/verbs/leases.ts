/** `longwatch leases`: which worker runs which durable activity, and until when it may without a renewal. */
import type { Command } from 'commander';
import { age, print, printJson, remarkMore, table } from '../output';
import { atLeastOne, verb, withLongwatch, type CommonFlags } from '../verb';

export function addLeases(program: Command): void {
  verb(program, 'leases', 'the leases of durable activities: task, worker, time left', [
    'longwatch leases',
    'longwatch leases --limit 20 --json',
  ])
    .option('--limit <n>', 'at most so many', atLeastOne, 1_000)
    .action((flags: CommonFlags & { limit: number }) =>
      withLongwatch(flags, async (longwatch) => {
        const leases = await longwatch.durable.leases(flags.limit);
        if (flags.json) return printJson({ leases });
        if (leases.length === 0) return print('no lease is held');
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
            leases.map((lease) => [
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
        remarkMore(leases.length, flags.limit);
      }),
    );
}
