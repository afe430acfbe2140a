/**
 * Thousands of histories of passes over a table: each due row exactly once a tick, whatever happens. The world is in
 * `world.ts`.
 */
import { simulate } from '../support/simulate';
import { World } from './world';

simulate('each row has exactly the intervals of the ticks that have ended, or is reported', async (seed) => {
  await new World(seed).live(3);
});
