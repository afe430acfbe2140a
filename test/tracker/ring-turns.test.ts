/** A turn of the ring leaves the event loop its own, and isolated operations get their threads and their time. */
import { hangs, on } from './ring-kit';
import type { Code, Kit } from './shift-kit';

describe('TR-H4: the event loop always turns', () => {
  const demand: [string, Code][] = [
    ['answer from memory', async () => Promise.resolve({ value: 1 })],
    ['answer without a promise', () => ({ value: 1 })],
    ['reject at once', () => Promise.reject(new Error('on hold'))],
    [
      'throw at once',
      () => {
        throw new Error('on hold');
      },
    ],
  ];
  test.each(demand)(
    'of runs that %s, more than the processor can do, only so many start in one turn',
    async (_what, code) => {
      let runs = 0;
      // Without an end to it, the test would never see its own.
      const some: Code = (context) => (++runs > 100_000 ? new Promise(() => undefined) : code(context));
      const kit = on(undefined, 't', 20_000, some, { every: '50ms', concurrency: 10_000 }, { capacity: 10_000 });
      const now = kit.clock.now.bind(kit.clock);
      // Each look at the clock is later than the one before: whoever has run is soon due again.
      kit.clock.now = () => (kit.clock.time += 0.01) && now();
      kit.clock.time += 60_000;
      kit.host.ring.tick(kit.clock.now());
      const atTurn: number[] = [runs];
      while (atTurn.length < 50) {
        await new Promise((resolve) => setImmediate(resolve));
        atTurn.push(runs);
      }
      kit.shift.close();
      const most = Math.max(...atTurn.slice(1).map((count, i) => count - atTurn[i]!));
      expect(most).toBeLessThanOrEqual(500);
      // It went on by itself, without a tick.
      expect(runs).toBeGreaterThan(10_000);
    },
  );

  test('a turn is over after ten milliseconds, however few runs it has started', async () => {
    let runs = 0;
    const code: Code = () => (++runs > 10_000 ? new Promise(() => undefined) : { value: 1 });
    const kit = on(undefined, 't', 2_000, code, { every: '50ms', concurrency: 1_000 }, { capacity: 1_000 });
    const now = kit.clock.now.bind(kit.clock);
    // Each look at the clock takes a millisecond.
    kit.clock.now = () => (kit.clock.time += 1) && now();
    kit.clock.time += 60_000;
    kit.host.ring.tick(kit.clock.now());
    const atTurn: number[] = [runs];
    while (atTurn.length < 50) {
      await new Promise((resolve) => setImmediate(resolve));
      atTurn.push(runs);
    }
    kit.shift.close();
    expect(Math.max(...atTurn.slice(1).map((count, i) => count - atTurn[i]!))).toBeLessThanOrEqual(10);
    expect(runs).toBeGreaterThan(50);
  });

  test('a machine so slow that each look at the clock is a turn later still starts runs, in threads and beside them', async () => {
    let runs = 0;
    const kit = on(undefined, 't', 5, () => (runs++, { value: 1 }));
    let isolated = 0;
    kit.host.isolated = () => Promise.resolve({ value: isolated++ });
    const threads = on(kit, 'threads', 5, hangs, { isolate: true });
    const now = kit.clock.now.bind(kit.clock);
    kit.clock.now = () => (kit.clock.time += 30) && now();
    for (let i = 0; i < 100; i++) {
      kit.host.ring.tick(kit.clock.now());
      await new Promise((resolve) => setImmediate(resolve));
    }
    // There would always be more to start.
    for (const { shift } of [kit, threads]) shift.close();
    expect(runs).toBeGreaterThan(20);
    expect(isolated).toBeGreaterThan(20);
  });

  test('nothing starts from within the end of a run', async () => {
    let depth = 0;
    let deepest = 0;
    const kit = on(
      undefined,
      't',
      100,
      () => {
        deepest = Math.max(deepest, ++depth);
        queueMicrotask(() => depth--);
        return Promise.resolve({ value: 1 });
      },
      { concurrency: 1, stagger: { window: 0 } },
    );
    const started = kit.shift.loops.get('look')!;
    kit.host.ring.tick(kit.clock.time);
    const after = () => started.agenda.members - started.agenda.backlog;
    const before = after();
    // All promises and microtasks that are there, and no turn of the event loop.
    for (let i = 0; i < 50; i++) await Promise.resolve();
    expect(after()).toBe(before);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(after()).toBeGreaterThan(before);
    expect(deepest).toBe(1);
  });
});

describe('TR-M11: isolate threads', () => {
  /** Threads that are free at once, and begin their run after a while. */
  function isolatedBy(kit: Kit, beginsAfterMs: number, code: (id: string) => Promise<unknown>): { most: () => number } {
    let running = 0;
    let most = 0;
    kit.host.isolated = async (context, _part, begun) => {
      most = Math.max(most, ++running);
      const from = kit.clock.time;
      while (kit.clock.time < from + beginsAfterMs) await new Promise((resolve) => setImmediate(resolve));
      begun();
      try {
        return await code(context.id);
      } finally {
        running--;
      }
    };
    return { most: () => most };
  }

  test('an isolated operation that hangs leaves the other ones a thread each, and each keeps to the threads there are', async () => {
    const isolate = { isolate: true, timeout: '10m' };
    const first = on(undefined, 'hanging', 20, hangs, isolate, { threads: 2 });
    const healthy = on(first, 'healthy', 3, hangs, isolate);
    const third = on(first, 'third', 3, hangs, isolate);
    const quick = (id: string) =>
      id.startsWith('hanging') ? new Promise(() => undefined) : Promise.resolve({ value: id });
    const { most } = isolatedBy(first, 0, quick);
    await first.pass(5_000);
    expect(first.shift.inFlight).toBe(1);
    for (const kit of [healthy, third]) {
      const { successes } = kit.shift.harvest().get(kit.shift.loops.get('look')!)!;
      expect(successes.size).toBe(3);
    }
    // As many as operations, where there are fewer threads than those.
    expect(most()).toBeLessThanOrEqual(3);
  });

  test('the time-out of a run begins with its code, not with the line for a thread, nor with the thread that starts', async () => {
    const kit = on(undefined, 't', 5, hangs, { isolate: true, timeout: '200ms', every: '1m' }, { threads: 1 });
    isolatedBy(kit, 1_000, (id) => Promise.resolve({ value: id }));
    await kit.pass(70_000);
    const look = kit.shift.loops.get('look')!;
    expect(look.counts).toMatchObject({ failed: 0, timedOut: 0 });
    expect(kit.shift.harvest().get(look)!.successes.size).toBe(5);
  });

  test('a run that has begun times out by its time-out, one whose thread never begins after a minute', async () => {
    const kit = on(undefined, 't', 1, hangs, { isolate: true, timeout: '200ms', every: '1h' }, { threads: 1 });
    isolatedBy(kit, 1_000, () => new Promise(() => undefined));
    await kit.pass(1_400);
    expect(kit.errors.map(({ error }) => error.message)).toEqual(['timed out after 200 ms']);
    const other = on(undefined, 't', 1, hangs, { isolate: true, timeout: '200ms', every: '1h' }, { threads: 1 });
    other.host.isolated = () => new Promise(() => undefined);
    await other.pass(59_000);
    expect(other.errors).toEqual([]);
    await other.pass(2_000);
    expect(other.errors[0]!.error.message).toMatch(/no thread could begin it within 60000 ms/);
  });
});
