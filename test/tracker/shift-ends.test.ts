/** The end of a shift: for how long it bears with a database that refuses or swallows, and who does not wait for it. */
import { setTimeout as delay } from 'node:timers/promises';
import { setPointHook } from '../../activities/lib/points';
import { eventually } from '../support/stack';
import { closing, database, fetchedOf, hang, node, PATIENCE, shift, stack, swallow, values, written } from './keep-kit';
import { stopwatch } from '../support/stopwatch';

test('a database that refuses everything ends a shift after its patience, and not before', async () => {
  const zero = shift(0);
  await written('zero');
  const began = performance.now();
  const refused = jest
    .spyOn(values, 'transaction')
    .mockImplementation(() => Promise.reject(Object.assign(new Error('away'), { type: 'StoreUnavailable' })));
  closing.push(() => Promise.resolve(refused.mockRestore()));
  await expect(zero.result).rejects.toMatchObject({ type: 'StoreUnavailable' });
  expect(performance.now() - began).toBeGreaterThanOrEqual(PATIENCE * 0.9);
});

test('a shift that ends for a database that swallows does not wait for it once more', async () => {
  const zero = shift(0);
  await written('zero');
  let patient = true;
  let letGo!: () => void;
  const swallowed = new Promise<void>((resolve) => (letGo = resolve));
  const away = Object.assign(new Error('away'), { type: 'StoreUnavailable' });
  const refused = jest.spyOn(values, 'transaction').mockImplementation(async () => {
    if (!patient) await swallowed;
    throw away;
  });
  closing.push(() => Promise.resolve(refused.mockRestore()));
  closing.push(() => Promise.resolve(letGo()));
  void delay(PATIENCE * 0.9).then(() => (patient = false));
  await expect(zero.result).rejects.toMatchObject({ type: 'StoreUnavailable' });
  expect(node.shifts.size).toBe(0);
});

test('a shift whose time is up while the database swallows goes on, and ends with all it has when that is back', async () => {
  await stack.sql(`update longwatch.tracker set options = options || '{"patienceMs": 60000}'`);
  const ended = jest.spyOn(node, 'leave');
  const zero = shift(0, 5_000, undefined, 8_000);
  await written('zero');
  const back = swallow(values);
  const [one] = node.shifts;
  await eventually('it stands still', () => one!.closed() === 'over');
  await eventually('it goes on', () => one!.closed() === undefined);
  const count = () => one!.loops.get('look')!.agenda.rounds;
  const before = count();
  await eventually('its members are asked for', () => count() >= before + 5);
  expect(ended).not.toHaveBeenCalled();
  back();
  await expect(zero.result).resolves.toMatchObject({ end: 'elapsed', to: 'n' });
  expect(one!.hasResults).toBe(false);
});

test('a shift that must end does not wait for a database that swallows: another node may have the pool', async () => {
  const zero = shift(0);
  await written('zero');
  swallow(values);
  swallow(database);
  const took = stopwatch();
  for (const one of node.shifts) one.end('handed back');
  await expect(zero.result).resolves.toMatchObject({ end: 'handed back' });
  expect(took()).toBeLessThan(4_500);
});

test('a shift that hands back what PostgreSQL refuses just then does not say that it has written everything', async () => {
  const zero = shift(0);
  await written('zero');
  const refused = jest
    .spyOn(values, 'transaction')
    .mockImplementation(() => Promise.reject(Object.assign(new Error('away'), { type: 'StoreUnavailable' })));
  closing.push(() => Promise.resolve(refused.mockRestore()));
  for (const one of node.shifts) one.end('handed back');
  await expect(zero.result).resolves.toMatchObject({ end: 'handed back' });
  expect(await stack.sql('select released_at, released_token from longwatch.pool')).toEqual([
    { released_at: null, released_token: null },
  ]);
});

test('a shift that waits for a long run ends at once where its node ends meanwhile', async () => {
  hang();
  const zero = shift(0, 5_000, undefined, 200);
  await eventually('its time is up', () => [...node.shifts].some((one) => one.loops.get('look')!.isStopped));
  for (const one of node.shifts) one.givenAway.give('handed back', 200);
  const took = stopwatch();
  await expect(zero.result).resolves.toMatchObject({ end: 'handed back' });
  expect(took()).toBeLessThan(5_000);
});

test('and where its last results are being written to a database that swallows', async () => {
  await stack.sql(`update longwatch.tracker set options = options || '{"patienceMs": 60000}'`);
  const zero = shift(0, 5_000, undefined, 6_000);
  await written('zero');
  let asked = 0;
  const flush = jest
    .spyOn(node.writer, 'flush')
    .mockImplementation(() => (asked++, new Promise<void>(() => undefined)));
  closing.push(() => Promise.resolve(flush.mockRestore()));
  await eventually('they are being written', () => asked === 1);
  flush.mockRestore();
  for (const one of node.shifts) one.givenAway.give('handed back', 200);
  await expect(zero.result).resolves.toMatchObject({ end: 'handed back' });
});

test('TR-M5: an idle shift with a heartbeat timeout of a second is not ended by a flush that comes late', async () => {
  const zero = shift(0, 1_000);
  await written('zero');
  // A node that does not come to flush for longer than its patience: nothing was refused.
  let go!: () => void;
  setPointHook((point) => (point === 'flush.locked' ? new Promise<void>((resolve) => (go = resolve)) : undefined));
  const seen = await fetchedOf('zero');
  await eventually('a flush stands', () => go !== undefined);
  await delay(PATIENCE + 500);
  setPointHook(undefined);
  go();
  await written('zero', seen);
  expect(zero.settled()).toBe(false);
});
