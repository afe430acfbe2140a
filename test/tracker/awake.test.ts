/**
 * Operations that run only for members that are awake (`while: 'awake'`): who sleeps is put aside when its time comes,
 * and runs when it is woken. In simulated time.
 */
import type { PoolLife } from '../../activities/tracker/shift/host';
import { isIdle } from '../../activities/tracker/member/idle';
import { looking, member, shiftOf, type Kit } from './shift-kit';
import type { TrackerDefinition } from '../../exports';

const IDLE_MS = 5_000;

/** A pool whose members have turns: awake for a while from the moment they are woken. */
function awakeKit(runs: string[], over: TrackerDefinition['operations'] = {}): Kit & { wake(id: string): void } {
  const { operations } = looking(({ id }) => (runs.push(id), { value: 1 }), { while: 'awake' });
  const kit = shiftOf({ name: 't', receive: () => undefined, operations: { ...operations, ...over } });
  const woken = new Map<string, number>();
  const nothing = (): void => undefined;
  const life: PoolLife = {
    ...{ changed: nothing, reloaded: nothing, narrow: nothing, wrote: nothing, follow: nothing },
    isAwake: (id, operations) => {
      const usedAt = woken.get(id);
      if (operations.includes('always')) return true;
      return usedAt !== undefined && !isIdle({ usedAt, hasMail: false }, operations, kit.clock.time, IDLE_MS);
    },
  };
  kit.shift.life = life;
  return Object.assign(kit, {
    wake: (id: string) => {
      woken.set(id, kit.clock.time);
      kit.shift.awake.woke(id, kit.clock.time);
    },
  });
}

test('it runs for those who are awake, from the moment on in which they are, until they sleep again', async () => {
  const runs: string[] = [];
  const { shift, pass, wake } = awakeKit(runs);
  shift.loadAll(
    ['a', 'b', 'c'].map((id) => member(id)),
    [],
  );
  await pass(3_000);
  expect(runs).toEqual([]);
  wake('b');
  await pass(50);
  // Its time had come while it slept.
  expect(runs).toEqual(['b']);
  await pass(2_000);
  expect(runs).toEqual(['b', 'b', 'b']);
  await pass(10_000);
  const until = runs.length;
  expect(until).toBeGreaterThanOrEqual(5);
  expect(until).toBeLessThanOrEqual(7);
  await pass(10_000);
  expect(runs).toHaveLength(until);
  wake('b');
  await pass(50);
  expect(runs).toHaveLength(until + 1);
});

test('who sleeps counts neither as late nor as one of its members, and may leave', async () => {
  const runs: string[] = [];
  const { shift, pass, wake, clock } = awakeKit(runs);
  const [a, b] = [member('a'), member('b')];
  shift.loadAll([a, b], []);
  await pass(30_000);
  const loop = shift.loop('look')!;
  expect([loop.agenda.members, loop.agenda.backlog, loop.lag(clock.time)]).toEqual([0, 0, 0]);
  wake('a');
  await pass(100);
  expect([runs, loop.agenda.members, loop.agenda.rounds]).toEqual([['a'], 1, 1]);
  expect(loop.lag(clock.time)).toBeLessThan(100);
  shift.loadChanges([{ ...b, removed: true }], []);
  expect(loop.agenda.members).toBe(1);
  shift.loadChanges([{ ...b, key: 99, addedAt: clock.time }], []);
  wake('b');
  await pass(1_500);
  expect(runs).toContain('b');
  expect(loop.agenda.members).toBe(2);
});

test('an operation that runs always keeps all of them awake, also one that is enabled later', async () => {
  const runs: string[] = [];
  const kit = awakeKit(runs, { always: { every: '1s', timeout: '200ms', enabled: false, run: () => ({ value: 1 }) } });
  const { shift, pass, tracker } = kit;
  shift.loadAll([member('a')], []);
  await pass(3_000);
  expect(runs).toEqual([]);
  const { operations } = tracker.options;
  const enabled = { ...operations, always: { ...operations.always!, enabled: true } };
  shift.follow({ ...tracker, options: { ...tracker.options, operations: enabled } });
  await pass(50);
  expect(runs).toEqual(['a']);
});

test('an operation that is no longer for the awake alone runs for those who sleep', async () => {
  const runs: string[] = [];
  const { shift, pass, tracker } = awakeKit(runs);
  shift.loadAll([member('a')], []);
  await pass(3_000);
  const look = { ...tracker.options.operations.look! };
  delete look.while;
  shift.follow({ ...tracker, options: { ...tracker.options, operations: { look } } });
  await pass(50);
  expect(runs).toEqual(['a']);
});
