/** Regens on real servers: what a tick does to each row, and what is refused before it begins. */
import { defineConfig, defineRegen } from '../../client';
import type { Longwatch } from '../../client/longwatch';
import { eventually, Stack } from '../support/stack';
import { makePlayers, startJob, valuesOf } from './kit';

const NEVER = '366d';

const config = defineConfig({
  regens: [
    defineRegen({
      name: 'stamina',
      every: NEVER,
      table: 'player',
      set: { stamina: 'least(stamina + :elapsed * (1 + endurance / 10), max_stamina)' },
      where: 'not is_dead and stamina < max_stamina',
    }),
    defineRegen({ name: 'ticking', every: '200ms', table: 'ticking', set: { stamina: 'stamina + 1' } }),
  ],
});

let stack: Stack;
let longwatch: Longwatch;

beforeAll(async () => {
  stack = await Stack.start();
  await makePlayers(stack, 'player', 2_000);
  await makePlayers(stack, 'ticking', 500);
  await stack.worker(config);
  longwatch = await stack.connect();
});
afterAll(() => stack.close());

test('a run by hand advances the living once, up to the maximum, and answers with its rows and band', async () => {
  await stack.sql('update player set is_dead = true where id % 10 = 0');
  await stack.sql('update player set stamina = 99 where id = 1');
  const job = await startJob(longwatch, config, 'stamina');
  const tick = await job.run();
  expect(tick).toMatchObject({ rows: 1_800, failed: 0, band: 'excellent', by: 'hand', elapsed: 1 });
  expect(await valuesOf(stack, 'player')).toEqual({ 0: 200, 2: 1_799, 100: 1 });
  expect((await job.run()).rows).toBe(1_799);
  expect((await job.history()).length).toBe(2);
});

test('ticks come at their time, without drift, one after the other', async () => {
  const job = await startJob(longwatch, config, 'ticking');
  await eventually('ten ticks', async () => (await job.history()).length >= 10);
  await job.stop();
  const ticks = await job.history(100);
  for (const tick of ticks) expect(Date.parse(tick.due) % 200).toBe(0);
  const sum = ticks.length;
  expect(await valuesOf(stack, 'ticking')).toEqual({ [sum]: 500 });
});
