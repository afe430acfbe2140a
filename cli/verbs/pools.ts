/** `longwatch pools`: who keeps each pool of a tracker, and how it is doing. */
import type { Command } from 'commander';
import { age, count, print, printJson, table } from '../output';
import { verb, withLongwatch, type CommonFlags } from '../verb';
import type { PoolSummary } from '../../client/tracker/members';

export function addPools(program: Command): void {
  verb(program, 'pools <tracker>', 'the pools of a tracker: members, keeper, crashes', [
    'longwatch pools characters',
    'longwatch pools characters --json',
  ]).action((name: string, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const pools = await longwatch.tracker(name).pools();
      if (flags.json) return printJson({ tracker: name, pools });
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
            state(pool),
            pool.node,
            pool.shift,
            pool.onShift && pool.takenAt ? age(Date.now() - Date.parse(pool.takenAt)) : null,
            pool.crashes,
            pool.lastError === null ? '' : pool.lastError.slice(0, 80),
          ]),
        ),
      );
    }),
  );
}

function state(pool: PoolSummary): string {
  if (pool.quarantinedAt !== null) return 'quarantined';
  if (pool.unbegunSince !== null) {
    const since = age(Date.now() - Date.parse(pool.unbegunSince));
    return `no node begins it for ${since} now (task queue ${pool.unbegunOn})`;
  }
  return pool.onShift ? 'on shift' : 'no keeper';
}
