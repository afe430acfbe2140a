/** `longwatch count|where|alive`: how many ids there are, where one is kept, and whether it is kept right now. */
import type { Command } from 'commander';
import { ProblemsFoundError } from '../../client/errors';
import type { Alive, Place, TrackerCount } from '../../client/tracker/questions';
import { age, count, print, printJson, right, table } from '../output';
import { inline } from '../plain';
import { timesOf, type Times } from '../times';
import { verb, withLongwatch, type CommonFlags } from '../verb';

export function addCount(program: Command): void {
  verb(program, 'count [tracker]', 'how many ids are tracked, and how many of them a live node keeps right now', [
    'longwatch count',
    'longwatch count characters --json',
  ]).action((tracker: string | undefined, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const counts = tracker === undefined ? await longwatch.count() : [await longwatch.tracker(tracker).count()];
      if (flags.json) return printJson(tracker === undefined ? { trackers: counts } : counts[0]);
      await print(counts.length === 0 ? 'no tracker has been started' : countTable(counts));
    }),
  );
}

export function addWhere(program: Command): void {
  verb(program, 'where <tracker> <id>', 'which pool and node keep an id', [
    'longwatch where characters 2112000001',
  ]).action((tracker: string, id: string, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const place = await longwatch.tracker(tracker).where(id);
      if (flags.json) return printJson(place);
      await print(`${inline(place.id)}: ${placeText(place, await timesOf(longwatch, { written: true }))}`);
    }),
  );
}

export function addAlive(program: Command): void {
  verb(program, 'alive <tracker> <id>', 'whether a live node keeps an id, and its last sign; 1 if none does', [
    'longwatch alive characters 2112000001',
    'longwatch alive characters 2112000001 --json',
  ]).action((tracker: string, id: string, flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const found = await longwatch.tracker(tracker).alive(id);
      if (flags.json) await printJson(found);
      else
        await print(
          `${inline(found.id)} is ${found.alive ? '' : 'not '}alive: ${placeText(found, await timesOf(longwatch, { written: true }))}; ${lastRun(found)}`,
        );
      const next = found.state === 'stopped' ? `start ${tracker}` : 'nodes';
      if (!found.alive) throw new ProblemsFoundError(`no live node keeps it: npx longwatch ${next}`);
    }),
  );
}

function countTable(counts: readonly TrackerCount[]): string {
  return table(
    [{ head: 'tracker' }, { head: 'state' }, right('ids'), right('kept now'), right('pools'), right('kept now')],
    counts.map((one) => [
      one.tracker,
      one.state,
      count(one.members),
      count(one.membersKept),
      count(one.pools),
      count(one.poolsKept),
    ]),
  );
}

function placeText({ pool, node, state, takenAt }: Place & Partial<Alive>, times: Times): string {
  const by = node === null ? '' : inline(node);
  switch (state) {
    case 'kept':
      return `pool ${pool}, kept by ${by}${takenAt === null ? '' : ` for ${times.since(takenAt)}`}`;
    case 'between shifts':
      return `pool ${pool}, between two shifts, the last of them on ${by}`;
    case 'never kept':
      return `pool ${pool}, which no node has taken yet`;
    case 'node gone':
      return `pool ${pool} of ${by}, which is not heard of any more`;
    case 'quarantined':
      return `pool ${pool}, which is in quarantine`;
    case 'stopped':
      return `pool ${pool} of a tracker that is stopped`;
  }
}

function lastRun({ lastRunMs }: Alive): string {
  return lastRunMs === null ? 'it was not asked yet' : `last asked ${age(lastRunMs)} ago`;
}
