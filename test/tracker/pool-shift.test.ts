/* eslint-disable @typescript-eslint/only-throw-error -- what users throw is what is tested here */
/**
 * One pool's shift in memory: runs, failures, holds, backpressure, gate and pause, newcomers and leavers, in simulated
 * time.
 */
import { defineTracker, HoldError, type RunContext, type RunResult, type TrackerDefinition } from '../../exports';
import type { Taken } from '../../activities/tracker/shift/pending';
import { staleCount } from '../../activities/tracker/shift/stale';
import { packThrown, unpackThrown } from '../../activities/tracker/shift/thrown';
import { freshness, member, rowOf, shiftOf, T0 } from './shift-kit';

const HOLD = Symbol.for('longwatch.HoldError');

type Code = (context: RunContext) => Promise<RunResult> | RunResult;

function tracker(run: Code, over: Partial<TrackerDefinition['operations'][string]> = {}): TrackerDefinition {
  return { name: 't', operations: { look: { every: '1s', timeout: '200ms', run, ...over } } };
}

/** One tick of simulated time. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('what one id does stays with it', () => {
  const bad: [string, Code][] = [
    [
      'throws',
      () => {
        throw new Error('thrown');
      },
    ],
    [
      'throws a text',
      () => {
        throw 'text';
      },
    ],
    [
      'throws nothing',
      () => {
        throw undefined;
      },
    ],
    [
      'throws what has no words',
      () => {
        throw Object.create(null);
      },
    ],
    [
      'throws an error whose message is no text',
      () => {
        throw Object.assign(new Error(), { message: Symbol('x') });
      },
    ],
    ['rejects', () => Promise.reject(new Error('rejected'))],
    ['returns nothing', () => undefined as never],
    ['returns garbage', () => 'garbage' as never],
    [
      'returns what throws when it is read',
      () => ({
        get value(): never {
          throw new Error('getter');
        },
      }),
    ],
    [
      'returns what throws when it is asked whether it is a promise',
      () =>
        ({
          get then(): never {
            throw new Error('getter');
          },
        }) as never,
    ],
    [
      'returns a promise of its own kind that throws',
      () =>
        ({
          then: () => {
            throw new Error('then');
          },
        }) as never,
    ],
    [
      'returns a promise of its own kind that calls back twice',
      () =>
        ({
          then: (yes: (x: unknown) => void, no: (x: unknown) => void) => {
            no(new Error('first'));
            yes({ value: 1 });
          },
        }) as never,
    ],
    ['hangs', () => new Promise(() => undefined)],
    [
      'asks for a hold of no length',
      () => {
        throw new HoldError('x', { afterMs: NaN, scope: 'member' });
      },
    ],
    [
      'asks for an endless hold',
      () => {
        throw new HoldError('x', { afterMs: Infinity, scope: 'member' });
      },
    ],
  ];
  test.each(bad)('a run that %s fails, counts once, is reported, and the others go on', async (_what, code) => {
    const runs = new Map<string, number>();
    const { shift, errors, pass } = shiftOf(
      tracker((context) => {
        runs.set(context.id, (runs.get(context.id) ?? 0) + 1);
        return context.id === 'bad' ? code(context) : { value: 1 };
      }),
    );
    shift.loadAll(
      ['good', 'bad', 'fine'].map((id) => member(id)),
      [],
    );
    await pass(450);
    expect(errors).toMatchObject([{ id: 'bad' }]);
    expect(errors[0]!.error).toBeInstanceOf(Error);
    const [{ successes, failures }] = [...shift.harvest().values()] as [Taken];
    expect([...successes.values()].map((row) => row.json)).toEqual(['1', '1']);
    const [failure] = [...failures.values()];
    expect(failures.size).toBe(1);
    expect(typeof failure!.error).toBe('string');
    if (failure!.heldUntil !== null) expect(Number.isFinite(new Date(failure!.heldUntil).getTime())).toBe(true);
    expect(shift.isOver).toBe(false);
    await pass(2_000);
    expect(runs.get('good')).toBeGreaterThan(1);
    expect(runs.get('fine')).toBeGreaterThan(1);
  });

  test('a time-out aborts the run; what it returns or throws later changes nothing', async () => {
    let aborted = false;
    let settle: { yes: (result: RunResult) => void; no: (error: Error) => void } | undefined;
    const { shift, errors, pass } = shiftOf(
      tracker(
        ({ signal }) =>
          new Promise<RunResult>((yes, no) => {
            settle ??= { yes, no };
            signal.addEventListener('abort', () => (aborted = true));
          }),
      ),
    );
    shift.loadAll([member('a')], []);
    await pass(300);
    expect(aborted).toBe(true);
    expect(errors.map(({ error }) => error.message)).toEqual(['timed out after 200 ms']);
    settle!.yes({ value: 'late' });
    settle!.no(new Error('late too'));
    await pass(50);
    expect(errors).toHaveLength(1);
    expect(shift.harvest().get(shift.loops.get('look')!)?.successes.size ?? 0).toBe(0);
    expect(shift.loops.get('look')!.counts).toMatchObject({ failed: 1, timedOut: 1 });
  });

  test('a removed member’s run is aborted and its result dropped', async () => {
    let signal: AbortSignal | undefined;
    let finish: (result: RunResult) => void = () => undefined;
    const { shift, pass, errors } = shiftOf(
      tracker((context) => {
        signal = context.signal;
        return new Promise((resolve) => (finish = resolve));
      }),
    );
    const a = member('a');
    shift.loadAll([a], []);
    await pass(50);
    shift.loadChanges([{ ...a, removed: true }], []);
    expect(signal!.aborted).toBe(true);
    finish({ value: 'too late' });
    await pass(50);
    expect(shift.harvest().size).toBe(0);
    expect(errors).toEqual([]);
    expect(shift.members.size).toBe(0);
  });
});

describe('who joins', () => {
  test('removed and added again between two looks: a new member, without the old one’s ETag', async () => {
    const etags: (string | undefined)[] = [];
    const { shift, pass } = shiftOf(
      tracker(({ etag }) => {
        etags.push(etag);
        return { value: 1, etag: 'e1' };
      }),
    );
    const a = member('a');
    shift.loadAll([a], []);
    await pass(50);
    shift.loadChanges([{ ...a, addedAt: T0 + 60 }], []);
    await pass(2_000);
    // An 'unchanged' answer would leave a row without a value, for the removal deleted it.
    expect(etags.slice(0, 3)).toEqual([undefined, undefined, 'e1']);
    expect(shift.members.size).toBe(1);
  });

  test('a move of pools loads all: who left is gone, who stays keeps its place', async () => {
    const runs: string[] = [];
    const { shift, pass } = shiftOf(tracker(({ id }) => (runs.push(id), { value: 1 })));
    const [a, b] = [member('a'), member('b')];
    shift.loadAll([a, b], []);
    await pass(100);
    const slot = shift.members.slotOf('b');
    shift.loadAll([b, member('c', { addedAt: T0 + 100 })], []);
    runs.length = 0;
    await pass(500);
    expect(shift.members.slotOf('a')).toBeUndefined();
    expect(shift.members.slotOf('b')).toBe(slot);
    expect(runs).toEqual(['c']);
  });

  test('expiresAt that is stored is respected by the next shift; the ETag and time are handed on', async () => {
    const seen: { at: number; etag: string | undefined; fetchedAt: number | undefined }[] = [];
    const kit = shiftOf(
      tracker(({ etag, fetchedAt }) => {
        seen.push({ at: kit.clock.time, etag, fetchedAt });
        return { unchanged: true };
      }),
    );
    const a = member('a', { addedAt: T0 - 60_000 });
    kit.shift.loadAll([a], [freshness(a, { fetchedAt: T0 - 1_000, expiresAt: T0 + 4_000, etag: 'e9' })]);
    await kit.pass(6_000);
    expect(seen[0]).toMatchObject({ etag: 'e9', fetchedAt: T0 - 1_000 });
    expect(seen[0]!.at).toBeGreaterThanOrEqual(T0 + 4_000);
    expect(seen[0]!.at).toBeLessThanOrEqual(T0 + 5_005);
  });
});

describe('TR-L3: the slot of one who has left is given out again', () => {
  test('a pool with much coming and going stays as small as it is', async () => {
    const { shift, pass } = shiftOf(tracker(() => ({ value: 1, etag: 'e' })));
    let rows = Array.from({ length: 10 }, (_, i) => member(`m${i}`));
    shift.loadAll(rows, []);
    for (let round = 1; round <= 50; round++) {
      const next = Array.from({ length: 10 }, (_, i) => member(`m${round}-${i}`));
      shift.loadChanges([...rows.map((row) => ({ ...row, removed: true })), ...next], []);
      rows = next;
      await pass(20);
    }
    let largest = 0;
    shift.members.forEach((slot) => (largest = Math.max(largest, slot)));
    expect(shift.members.size).toBe(10);
    expect(largest).toBeLessThan(20);
    expect(shift.loops.get('look')!.agenda.members).toBe(10);
  });

  test('what was under way for one who left reaches nobody: neither its result, nor what a flush puts back, nor what its code asks', async () => {
    const finish = new Map<string, () => void>();
    const asked: (string | undefined)[] = [];
    const { shift, pass } = shiftOf(
      tracker(
        (context) =>
          new Promise((resolve) => {
            finish.set(context.id, () => {
              asked.push(context.id, context.etag);
              resolve({ value: context.id, etag: `of ${context.id}` });
            });
          }),
        { timeout: '1m' },
      ),
    );
    const look = shift.loops.get('look')!;
    const [old, young] = [member('old'), member('young')];
    shift.loadAll([old], []);
    await pass(50);
    finish.get('old')!();
    await pass(20);
    const harvest = shift.harvest();
    expect(harvest.get(look)!.successes.size).toBe(1);
    await pass(1_500);
    const slot = shift.members.slotOf('old');
    shift.loadChanges([{ ...old, removed: true }], []);
    shift.loadChanges([young], [freshness(young, { fetchedAt: T0, etag: 'of young' })]);
    expect(shift.members.slotOf('young')).toBe(slot);
    shift.putBack(harvest);
    finish.get('old')!();
    await pass(20);
    expect(look.results.size).toBe(0);
    expect(look.known.etag(slot!)).toBe('of young');
    expect(asked.slice(2)).toEqual(['old', undefined]);
  });
});

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
    const definition = tracker(() => ({ value: 1 }));
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
    const { shift, tracker: row, pass } = shiftOf(tracker(() => (runs++, { value: 1 })));
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
      tracker(
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
    const kit = shiftOf(tracker(() => new Promise(() => undefined), { timeout: '1h' }));
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

test('a pool’s opening spreads over base and window; the first offline check comes after its interval', async () => {
  const starts: { operation: string; at: number }[] = [];
  const kit = shiftOf(
    defineTracker({
      name: 't',
      operations: {
        location: { every: '10s', concurrency: 24, stagger: { base: '300ms', window: '500ms' }, run: note },
        offline: { every: '5m', stagger: { base: '5m', window: 0 }, run: note },
      },
    }),
  );
  function note({ operation }: RunContext): RunResult {
    starts.push({ operation, at: kit.clock.time - T0 });
    return { value: 1 };
  }
  kit.shift.loadAll(
    Array.from({ length: 100 }, (_, i) => member(`m${i}`)),
    [],
  );
  await kit.pass(9_000);
  const first = starts.filter(({ operation }) => operation === 'location').map(({ at }) => at);
  expect(first).toHaveLength(100);
  expect(Math.min(...first)).toBeGreaterThanOrEqual(300);
  expect(Math.max(...first)).toBeLessThanOrEqual(805);
  expect(first.filter((at) => at < 550).length).toBeGreaterThan(30);
  expect(first.filter((at) => at >= 550).length).toBeGreaterThan(30);
  expect(starts.some(({ operation }) => operation === 'offline')).toBe(false);
});

describe('an operation that begins while the tracker runs', () => {
  const two = (enabled: boolean) => ({
    look: { every: '1m', run: () => ({ value: 1 }) },
    late: { every: '10m', enabled, stagger: { base: '1h', window: '2m' }, run: () => ({ value: 1 }) },
  });
  const HOUR = 3_600_000;
  const known = Array.from({ length: 200 }, (_, i) => member(`m${i}`, { addedAt: T0 - 24 * HOUR }));

  test.each(['declared', 'enabled'])(
    '%s: its stagger counts from then, in that shift and in those that follow',
    async (how) => {
      const starts: number[] = [];
      const definition = defineTracker({ name: 't', operations: two(true) });
      definition.operations.late!.run = () => (starts.push(kit.clock.time - T0), { value: 1 });
      const { options } = rowOf(definition);
      const { look, late } = options.operations as Record<'look' | 'late', (typeof options.operations)[string]>;
      const operations: typeof options.operations =
        how === 'declared' ? { look } : { look, late: { ...late, enabled: false } };
      const before = { ...options, operations };
      const kit = shiftOf(definition, { options: before });
      kit.shift.loadAll(known, []);
      await kit.pass(100);
      const row = { ...kit.tracker, version: 2, options, since: { late: T0 + 100 } };
      kit.shift.follow(row);
      await kit.pass(5_000);
      kit.shift.close();
      expect(starts).toEqual([]);
      // A later shift, on the same node, that knows of it from the row alone.
      const next = shiftOf(definition, { beside: kit, token: 2, options, since: row.since });
      next.shift.loadAll(known, []);
      await next.pass(60_000);
      expect(starts).toEqual([]);
      kit.clock.time = T0 + HOUR + 90;
      await next.pass(130_000);
      expect(starts).toHaveLength(200);
      expect(Math.min(...starts)).toBeGreaterThanOrEqual(HOUR + 100);
      // Over its window, not over a minute.
      expect(starts.filter((at) => at > HOUR + 80_000).length).toBeGreaterThan(30);
    },
  );

  test('disabled and enabled again between two looks, it begins anew; the same row again, or a clock put right, changes nothing', async () => {
    const definition = defineTracker({ name: 't', operations: two(true) });
    const kit = shiftOf(definition, { since: { late: T0 } });
    kit.shift.loadAll(known, []);
    const { agenda } = kit.shift.loops.get('late')!;
    const first = agenda.nextDue;
    kit.shift.follow({ ...kit.tracker, version: 2, since: { late: T0 } });
    kit.clock.fromStore = (ms) => ms + 60_000;
    kit.shift.follow({ ...kit.tracker, version: 3, since: { late: T0 } });
    expect(agenda.nextDue).toBe(first);
    kit.clock.fromStore = (ms) => ms;
    kit.shift.follow({ ...kit.tracker, version: 4, since: { late: T0 + HOUR } });
    expect(agenda.nextDue).toBe(first + HOUR);
  });

  test('one with a name that every object has is not taken for known', () => {
    const definition = defineTracker({
      name: 't',
      operations: { constructor: { every: '1m', run: () => ({ value: 1 }) } },
    });
    const kit = shiftOf(definition, { since: {} });
    kit.shift.loadAll(known, []);
    expect(kit.shift.loops.get('constructor')!.agenda.nextDue).toBeGreaterThan(0);
  });
});

describe('code of another version than the one that is declared', () => {
  const asked: (string | undefined)[] = [];
  const coded = (version: number) =>
    defineTracker({
      name: 't',
      operations: {
        look: {
          every: '1m',
          maxExpiry: '30d',
          version,
          run: ({ etag }) => (asked.push(etag), { value: version, etag: `by ${version}`, expiresAt: T0 + 86_400_000 }),
        },
      },
    });
  const one = member('one', { addedAt: T0 - 1_000 });
  const cached = freshness(one, { fetchedAt: T0 - 120_000, expiresAt: T0 + 86_400_000, etag: 'of before' });
  beforeEach(() => (asked.length = 0));

  test.each([
    [2, 1],
    [1, 2],
  ])(
    'version %d where %d is declared: neither uses ETags and expiries, nor leaves any, and asks at its interval',
    async (code, declared) => {
      const kit = shiftOf(coded(code), { options: rowOf(coded(declared)).options });
      kit.shift.loadAll([one], [cached]);
      await kit.pass(500);
      expect(asked).toEqual([undefined]);
      const [taken] = [...kit.shift.harvest().values()] as [Taken];
      expect([...taken.successes.values()]).toMatchObject([{ json: String(code), etag: null, expiresAt: null }]);
      // It obeys its own hold: no more requests than otherwise.
      await kit.pass(65_000);
      expect(asked).toEqual([undefined]);
    },
  );

  test('when its own version is declared it begins to use them, without those of before', async () => {
    const kit = shiftOf(coded(2), { options: rowOf(coded(1)).options });
    kit.shift.loadAll([one], [cached]);
    const look = kit.shift.loops.get('look')!;
    const again = async (declared?: number): Promise<void> => {
      if (declared !== undefined) {
        const { options } = rowOf(coded(declared));
        kit.shift.follow({ ...kit.tracker, version: kit.shift.trackerVersion + 1, options });
      }
      look.agenda.askAnew(undefined, kit.clock.time, 1);
      look.recheck(kit.clock.time);
      await kit.pass(500);
    };
    await kit.pass(500);
    await again(2);
    await again();
    expect(asked).toEqual([undefined, undefined, 'by 2']);
    // And back again: those of 2 are forgotten at once.
    await again(1);
    await again(2);
    expect(asked.slice(3)).toEqual([undefined, undefined]);
  });
});

describe('a HoldError that looks like one', () => {
  const looksLike = (more: object) => Object.assign(new Error('busy'), { name: 'HoldError', [HOLD]: true }, more);
  class Getters extends Error {
    readonly [HOLD] = true;
    get scope(): never {
      throw new Error('scope');
    }
    get afterMs(): never {
      throw new Error('afterMs');
    }
  }
  const odd: [string, () => Error][] = [
    ['an unknown scope', () => looksLike({ afterMs: 30_000, scope: 'everything' })],
    ['no scope', () => looksLike({ afterMs: 30_000 })],
    ['a scope that is no text', () => looksLike({ afterMs: 30_000, scope: { of: 'tracker' } })],
    ['getters that throw', () => new Getters('busy')],
    ['a wrong scope in our own class', () => new HoldError('busy', { afterMs: 30_000, scope: 'all' as never })],
    [
      'a wrong scope over the wire of a thread',
      () => unpackThrown(structuredClone(packThrown(looksLike({ afterMs: 30_000, scope: 'all' })))),
    ],
    [
      'a scope that cannot cross the wire',
      () => unpackThrown(structuredClone(packThrown(looksLike({ afterMs: 30_000, scope: () => 1 })))),
    ],
  ];
  test.each(odd)('with %s holds its operation, never the tracker, and is told of once', async (_what, error) => {
    const kit = shiftOf({
      name: 't',
      operations: {
        look: { every: '1s', run: () => Promise.reject(error()) },
        other: { every: '1s', run: () => ({ value: 1 }) },
      },
    });
    const warn = jest.spyOn(kit.shift.loops.get('look')!.log, 'warn');
    warn.mockClear();
    kit.shift.loadAll([member('a'), member('b')], []);
    await kit.pass(2_500);
    const { holds } = kit.host;
    expect(holds.until('t', 'look')).toBeGreaterThan(T0 + 14_000);
    expect(holds.until('t', 'other')).toBe(0);
    expect(warn.mock.calls).toHaveLength(1);
  });
});

describe('failures in a row, where the store refuses a value', () => {
  const code: { next: Code } = { next: () => ({ value: 1 }) };
  async function refusedWhile(later: Code): Promise<{ waits: Taken; inARow: number | undefined }> {
    const kit = shiftOf(tracker((context) => code.next(context)));
    code.next = () => ({ value: 'refused', etag: 'e1' });
    kit.shift.loadAll([member('a', { addedAt: T0 - 1_000 })], []);
    await kit.pass(50);
    const loop = kit.shift.loops.get('look')!;
    const { successes } = loop.results.take({ rows: Infinity, bytes: Infinity });
    code.next = later;
    await kit.pass(1_000);
    const [[slot, success]] = [...successes] as [[number, Taken['successes'] extends Map<number, infer S> ? S : never]];
    loop.refuse(slot, success);
    return {
      waits: loop.results.take({ rows: Infinity, bytes: Infinity }),
      inARow: loop.known.failuresInARow.get(slot),
    };
  }

  test('a failure that came after it is the second one, also where it waits to be written', async () => {
    const { waits, inARow } = await refusedWhile(() => Promise.reject(new Error('down')));
    expect([...waits.failures.values()].map((failure) => failure.inARow)).toEqual([2]);
    expect(inARow).toBe(2);
  });

  test('a value that came after it is a success, and nothing failed since', async () => {
    const { waits, inARow } = await refusedWhile(() => ({ value: 'good', etag: 'e2' }));
    expect([...waits.successes.values()].map(({ json }) => json)).toEqual(['"good"']);
    expect(inARow).toBeUndefined();
  });
});
