/**
 * One pool's shift where something stands still, and for how long: operations without code, holds, the gate, a pause,
 * an operation that gives way to another, fewer places. In simulated time.
 */
import { defineTracker, HoldError, type RunContext, type RunResult } from '../../exports';
import { staleCount } from '../../activities/tracker/shift/stale';
import { freshness, looking, member, shiftOf, T0 } from './shift-kit';

/** One tick of simulated time. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('what stands still', () => {
  test('an operation that the definition has no more: nothing of it is started, what ran is written; it may come back', async () => {
    const runs = { look: 0, gone: 0 };
    let answer: (result: RunResult) => void = () => undefined;
    const definition = defineTracker({
      name: 't',
      operations: {
        look: { every: '50ms', run: () => ({ value: ++runs.look }) },
        gone: {
          every: '50ms',
          run: () => {
            runs.gone++;
            return new Promise<RunResult>((resolve) => (answer = resolve));
          },
        },
      },
    });
    const { shift, tracker: row, pass } = shiftOf(definition);
    shift.loadAll([member('a')], []);
    await pass(20);
    expect(runs.gone).toBe(1);
    const { gone, ...rest } = row.options.operations;
    shift.follow({ ...row, version: 2, options: { ...row.options, operations: rest } });
    answer({ value: 'late' });
    const before = runs.look;
    await pass(500);
    expect(runs.gone).toBe(1);
    expect(runs.look).toBeGreaterThan(before);
    expect(shift.loop('gone')!.results.size).toBe(1);
    shift.follow({ ...row, version: 3, options: { ...row.options, operations: { ...rest, gone: gone! } } });
    await pass(100);
    expect(runs.gone).toBe(2);
  });

  test('an operation that this worker does not have is told of once, however often the gate toggles', () => {
    const definition = looking(() => ({ value: 1 }));
    const kit = shiftOf(definition);
    const warned: unknown[] = [];
    const { row, shift } = { row: kit.tracker, shift: kit.shift };
    jest.spyOn(shift.log, 'warn').mockImplementation((...args: unknown[]) => void warned.push(args[1]));
    const operations = { ...row.options.operations, elsewhere: row.options.operations.look! };
    for (let version = 2; version < 10; version++) {
      shift.follow({ ...row, version, gateOpen: version % 2 === 0, options: { ...row.options, operations } });
    }
    expect(warned).toEqual(["this worker's config has no operation elsewhere; it does not run here"]);
  });

  test('an operation’s hold stops that operation, a tracker’s all of them, a member’s that member', async () => {
    const runs: string[] = [];
    let scope: 'member' | 'operation' | 'tracker' = 'member';
    let throwing = true;
    const code = ({ id, operation }: RunContext): RunResult => {
      runs.push(`${operation}/${id}`);
      if (throwing && operation === 'look' && id === 'a') {
        throwing = false;
        throw new HoldError('429', { afterMs: 5_000, scope });
      }
      return { value: 1 };
    };
    const definition = defineTracker({
      name: 't',
      operations: { look: { every: '1s', run: code }, other: { every: '1s', run: code } },
    });
    const seenIn = async (held: typeof scope): Promise<Set<string>> => {
      scope = held;
      throwing = true;
      const { shift, pass } = shiftOf(definition);
      shift.loadAll([member('a'), member('b')], []);
      await pass(1_000);
      runs.length = 0;
      await pass(3_000);
      const during = new Set(runs);
      runs.length = 0;
      await pass(4_000);
      expect(new Set(runs)).toEqual(new Set(['look/a', 'look/b', 'other/a', 'other/b']));
      return during;
    };
    expect(await seenIn('member')).toEqual(new Set(['look/b', 'other/a', 'other/b']));
    expect(await seenIn('operation')).toEqual(new Set(['other/a', 'other/b']));
    expect(await seenIn('tracker')).toEqual(new Set());
  });

  test('a closed gate stops the gated, runs whenClosed, leaves the ungated; an open one lets all run', async () => {
    const runs: string[] = [];
    const note = (text: string) => () => (runs.push(text), { value: 1 });
    const definition = defineTracker({
      name: 't',
      gate: { check: () => true },
      operations: {
        location: { every: '1s', run: note('location') },
        online: { every: '1s', run: note('online'), whenClosed: note('offline') },
        check: { every: '1s', gated: false, run: note('check') },
      },
    });
    const { shift, tracker: row, pass } = shiftOf(definition);
    shift.loadAll([member('a')], []);
    await pass(3_000);
    expect(new Set(runs)).toEqual(new Set(['offline', 'check']));
    shift.follow({ ...row, version: 2, gateOpen: true });
    runs.length = 0;
    await pass(2_000);
    expect(new Set(runs)).toEqual(new Set(['location', 'online', 'check']));
    shift.follow({ ...row, version: 3, gateOpen: false });
    runs.length = 0;
    await pass(2_000);
    expect(new Set(runs)).toEqual(new Set(['offline', 'check']));
  });

  test('pause: nothing runs; afterwards nothing that piled up runs at once', async () => {
    let runs = 0;
    const { shift, tracker: row, pass } = shiftOf(looking(() => (runs++, { value: 1 })));
    shift.loadAll(
      Array.from({ length: 200 }, (_, i) => member(`m${i}`, { addedAt: T0 - 5_000 })),
      [],
    );
    await pass(2_000);
    shift.follow({ ...row, version: 2, state: 'paused' });
    runs = 0;
    await pass(30_000);
    expect(runs).toBe(0);
    shift.follow({ ...row, version: 3, state: 'running' });
    await pass(100);
    expect(runs).toBeLessThan(60);
    await pass(1_000);
    expect(runs).toBeGreaterThanOrEqual(200);
  });

  test('an operation waits while another lags, counted with the reason, and comes back', async () => {
    let slow = true;
    let ships = 0;
    const kit = shiftOf(
      defineTracker({
        name: 't',
        operations: {
          location: {
            every: '1s',
            timeout: '1m',
            run: () =>
              slow ? new Promise<RunResult>((resolve) => void release.push(() => resolve({ value: 1 }))) : { value: 1 },
          },
          ship: {
            every: '1s',
            skipWhile: { operation: 'location', slowerThan: '1s' },
            run: () => (ships++, { value: 1 }),
          },
        },
      }),
    );
    const release: (() => void)[] = [];
    kit.shift.loadAll([member('a')], []);
    await kit.pass(2_500);
    const before = ships;
    await kit.pass(3_000);
    const ship = kit.shift.loops.get('ship')!;
    expect(ships).toBe(before);
    expect(ship.counts.skippedLag).toBeGreaterThanOrEqual(3);
    expect(ship.counts.skippedLate).toBe(0);
    slow = false;
    for (const done of release) done();
    await kit.pass(4_000);
    expect(ships).toBeGreaterThan(before);
  });

  test.each(['1h', '1s'])(
    'what gave way runs soon after the other one has caught up, also where it is due each %s',
    async (every) => {
      let ships = 0;
      let slow = true;
      const release: (() => void)[] = [];
      const answer = () => new Promise<RunResult>((resolve) => void release.push(() => resolve({ value: 1 })));
      const kit = shiftOf(
        defineTracker({
          name: 't',
          operations: {
            location: { every: '1s', timeout: '1m', run: () => (slow ? answer() : { value: 1 }) },
            ship: { every, skipWhile: { operation: 'location', slowerThan: '1s' }, run: () => (ships++, { value: 1 }) },
          },
        }),
      );
      // Its hourly run falls into the lag.
      const known = member('a', { addedAt: T0 - 3_600_000 });
      kit.shift.loadAll([known], [freshness(known, { operation: 'ship', fetchedAt: T0 - 3_599_000 })]);
      kit.host.ring.tick(kit.clock.time);
      // Location lags, is well, and so on: whose due times fall into the lag must not wait for ever.
      for (let i = 0; i < 10; i++) {
        slow = true;
        await kit.pass(3_000);
        if (i === 0) ships = 0;
        slow = false;
        for (const done of release.splice(0)) done();
        await kit.pass(2_000);
      }
      expect(ships).toBeGreaterThanOrEqual(every === '1h' ? 1 : 10);
    },
  );

  test('two operations that give way to each other do not wait for ever', async () => {
    let slow = true;
    const runs = { a: 0, b: 0 };
    const release: (() => void)[] = [];
    const run = (which: 'a' | 'b') => () => {
      runs[which]++;
      return slow ? new Promise<RunResult>((resolve) => void release.push(() => resolve({ value: 1 }))) : { value: 1 };
    };
    const kit = shiftOf(
      defineTracker({
        name: 't',
        operations: {
          a: { every: '1s', timeout: '1m', skipWhile: { operation: 'b', slowerThan: '1s' }, run: run('a') },
          b: { every: '1s', timeout: '1m', skipWhile: { operation: 'a', slowerThan: '1s' }, run: run('b') },
        },
      }),
    );
    kit.shift.loadAll([member('x'), member('y')], []);
    await kit.pass(5_000);
    slow = false;
    for (const done of release) done();
    await kit.pass(5_000);
    const before = { ...runs };
    await kit.pass(5_000);
    expect(runs.a).toBeGreaterThan(before.a + 4);
    expect(runs.b).toBeGreaterThan(before.b + 4);
  });

  test('concurrency changed while it runs holds at once, up and down, and a node’s cap above it', async () => {
    let running = 0;
    let most = 0;
    const kit = shiftOf(
      looking(
        async () => {
          most = Math.max(most, ++running);
          for (let i = 0; i < 60; i++) await turn();
          running--;
          return { value: 1 };
        },
        { concurrency: 3, timeout: '1m' },
      ),
      { capacity: 8 },
    );
    const { shift, tracker: row, pass } = kit;
    const withConcurrency = (concurrency: number, version: number) => {
      const options = structuredClone(row.options);
      options.operations.look!.concurrency = concurrency;
      shift.follow({ ...row, version, options });
    };
    shift.loadAll(
      Array.from({ length: 60 }, (_, i) => member(`m${i}`, { addedAt: T0 - 60_000 })),
      [],
    );
    const mostIn = async (): Promise<number> => {
      most = running;
      await pass(1_500);
      return most;
    };
    expect(await mostIn()).toBe(3);
    withConcurrency(6, 2);
    expect(await mostIn()).toBe(6);
    withConcurrency(50, 3);
    expect(await mostIn()).toBe(8);
    withConcurrency(1, 4);
    await pass(1_500);
    expect(await mostIn()).toBe(1);
  });

  test('stale counts who is older than 3 × max(interval, expiry, hold), not who waits for an expiry', async () => {
    const kit = shiftOf(looking(() => new Promise(() => undefined), { timeout: '1h' }));
    const [old, expiring, fresh] = [member('old'), member('expiring'), member('fresh')];
    kit.shift.loadAll(
      [old, expiring, fresh],
      [
        freshness(old, { fetchedAt: T0 - 3_001 }),
        freshness(expiring, { fetchedAt: T0 - 3_001, expiresAt: T0 - 1_000 }),
        freshness(fresh, { fetchedAt: T0 - 2_999 }),
      ],
    );
    const look = kit.shift.loops.get('look')!;
    expect(staleCount(look, T0)).toBe(1);
    expect(staleCount(look, T0 + 10)).toBe(2);
    expect(staleCount(look, T0 + 6_000)).toBe(3);
    kit.host.holds.hold('t', 'look', T0 + 60_000);
    expect(staleCount(look, T0 + 10)).toBe(0);
  });
});
