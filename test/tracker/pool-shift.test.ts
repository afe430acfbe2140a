/**
 * One pool's shift in memory: newcomers, leavers and their slots, an operation that begins or whose code changes while
 * the tracker runs. In simulated time.
 */
import { defineTracker, type RunContext, type RunResult } from '../../exports';
import type { Taken } from '../../activities/tracker/shift/pending';
import { freshness, looking, member, rowOf, shiftOf, T0, TestClock } from './shift-kit';

describe('who joins', () => {
  test('removed and added again between two looks: a new member, without the old one’s ETag', async () => {
    const etags: (string | undefined)[] = [];
    const { shift, pass } = shiftOf(
      looking(({ etag }) => {
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
    const { shift, pass } = shiftOf(looking(({ id }) => (runs.push(id), { value: 1 })));
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
      looking(({ etag, fetchedAt }) => {
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
    const { shift, pass } = shiftOf(looking(() => ({ value: 1, etag: 'e' })));
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
      looking(
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

test('TR-M3: a newcomer’s time is of the database’s clock, and is moved to the node’s, a minute behind', async () => {
  const runs: number[] = [];
  const clock = new TestClock();
  clock.fromStore = (ms) => ms - 60_000;
  const run = () => ({ value: runs.push(clock.time) });
  const kit = shiftOf(looking(run, { stagger: { base: '300ms', window: 0 } }), { clock });
  kit.shift.loadAll([member('a', { addedAt: T0 + 60_000 })], []);
  await kit.pass(1_000);
  expect(runs).toEqual([T0 + 300]);
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
