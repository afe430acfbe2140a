/** Pools that have come from another node a moment ago, and for how long that counts. */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { Newcomers } from '../../../activities/tracker/placement/newcomers';

const NOW = 1_700_000_000_000;

test('a pool is a newcomer for some seconds, by the node that it came from last', () => {
  const newcomers = new Newcomers();
  newcomers.came('eve/1', 'b', NOW);
  newcomers.came('eve/2', 'c', NOW + 1_000);
  newcomers.came('eve/1', 'c', NOW + 2_000);
  expect(newcomers.now(NOW + PLACEMENT.newcomerMs + 1_000)).toEqual(new Map([['eve/1', 'c']]));
  expect(newcomers.now(NOW + PLACEMENT.newcomerMs + 2_000)).toEqual(new Map());
});
