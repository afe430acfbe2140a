/** `longwatch pools`: who keeps each pool of a tracker, and how it is doing. */
import type { Command } from 'commander';
import { age, count, print, printJson, remark, table } from '../output';
import { paged, partOf, sayMore, type PageFlags } from '../pages';
import { timesOf, type Times } from '../times';
import { verb, withLongwatch, type CommonFlags } from '../verb';
import type { PoolSummary } from '../../client/tracker/members';

export function addPools(program: Command): void {
  const listed = verb(program, 'pools <tracker>', 'the pools of a tracker: members, keeper, crashes', [
    'longwatch pools characters',
    'longwatch pools characters --json',
  ]);
  paged(listed, 10_000).action((name: string, flags: CommonFlags & PageFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const part = partOf((page) => longwatch.tracker(name).poolsPage(page), flags);
      const [{ items: pools, next }, replica] = await Promise.all([part, longwatch.replica()]);
      if (flags.json) return printJson({ tracker: name, pools, next, replica });
      const times = await timesOf(longwatch);
      await print(
        table(
          [
            { head: 'pool', right: true },
            { head: 'members', right: true },
            { head: 'state' },
            { head: 'node' },
            { head: 'shift', right: true },
            { head: 'for', right: true },
            { head: 'crashes', right: true },
            { head: 'last error' },
          ],
          pools.map((pool) => [
            pool.pool,
            count(pool.members),
            state(pool, times),
            pool.node,
            pool.shift,
            pool.onShift && pool.takenAt ? times.since(pool.takenAt) : null,
            pool.crashes,
            pool.lastError === null ? '' : pool.lastError.slice(0, 80),
          ]),
        ),
      );
      if (replica && replica.behindMs !== 0)
        remark(`read from a replica that is ${age(replica.behindMs)} behind: all of it is as it was then`);
      sayMore(next);
    }),
  );
}

function state(pool: PoolSummary, times: Times): string {
  if (pool.quarantinedAt !== null) return 'quarantined';
  if (pool.unbegunSince !== null) {
    return `no node begins it for ${times.since(pool.unbegunSince)} now (task queue ${pool.unbegunOn})`;
  }
  return pool.onShift ? 'on shift' : 'no keeper';
}
