/** Pools that have come from another node a moment ago, and for how long that counts. */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { Newcomers } from '../../../activities/tracker/placement/newcomers';
import type { PlacementRow } from '../../../activities/tracker/placement/row';
import { Draws } from '../../support/draws';
import { simulate } from '../../support/simulate';

const NOW = 1_700_000_000_000;

test('a pool is a newcomer for some seconds, by the node that it came from last', () => {
  const newcomers = new Newcomers();
  newcomers.came('eve/1', 'b', NOW);
  newcomers.came('eve/2', 'c', NOW + 1_000);
  newcomers.came('eve/1', 'c', NOW + 2_000);
  expect(newcomers.now(NOW + PLACEMENT.newcomerMs + 1_000)).toEqual(new Map([['eve/1', 'c']]));
  expect(newcomers.now(NOW + PLACEMENT.newcomerMs + 2_000)).toEqual(new Map());
});

const NODES = ['a', 'b', 'c'];

/** Pools come, some of them again and again; nodes are drained, are killed, and start again. */
function live(seed: number): void {
  const draw = new Draws(seed);
  const newcomers = new Newcomers();
  const came = new Map<string, { from: string; at: number }>();
  let now = NOW;
  for (let steps = 0; steps < 60; steps++) {
    now += draw.one([0, 0, 1, 250, 1_000, PLACEMENT.newcomerMs - 1, PLACEMENT.newcomerMs]);
    if (draw.chance(0.6)) {
      const [pool, from] = [`eve/${draw.whole(0, 5)}`, draw.one(NODES)];
      newcomers.came(pool, from, now);
      came.set(pool, { from, at: now });
    } else {
      const rows = new Map<string, PlacementRow>();
      for (const name of NODES) {
        const is = draw.one(['up', 'up', 'up', 'drained', 'gone']);
        if (is !== 'gone') rows.set(name, { name, up: is === 'up' } as PlacementRow);
      }
      newcomers.tidy(rows, now);
      for (const [pool, { from }] of came) if (!rows.get(from)?.up) came.delete(pool);
      // A time before all that is there shows all of it: nothing is held for longer than it counts.
      expect(newcomers.now(0)).toEqual(newcomers.now(now));
    }
    const still = [...came].filter(([, { at }]) => now < at + PLACEMENT.newcomerMs);
    expect(newcomers.now(now)).toEqual(new Map(still.map(([pool, { from }]) => [pool, from])));
  }
}

simulate('it counts from when the pool came last, and not where its node had to give it', live, { histories: 200 });
