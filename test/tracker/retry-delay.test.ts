/** When a member that has failed is tried again, by the definition's own `retryDelay`, in virtual time. */
import type { NodeHolds } from '../../activities/tracker/shift/holds';
import { resolveConfig, HoldError, type OperationDefinition } from '../../exports';
import { freshness, looking, member, shiftOf, T0, type Code } from './shift-kit';

type Over = Partial<OperationDefinition>;

/** @returns when it ran, milliseconds since the first run; and what was written of its failures */
async function runsOf(run: Code, forMs: number, over: Over) {
  const at: number[] = [];
  const kit = shiftOf(
    looking((context) => {
      at.push(kit.clock.now());
      return run(context);
    }, over),
  );
  kit.shift.loadAll([member('a')], []);
  await kit.pass(forMs);
  const failures = [...kit.shift.harvest()].flatMap(([, taken]) => [...taken.failures.values()]);
  return { at: at.map((time) => time - at[0]!), failures, errors: kit.errors };
}

const failing: Code = () => {
  throw new Error('away');
};

test('a failure is tried again after the time that the definition says, sooner than the interval', async () => {
  const said: [number, string][] = [];
  const retryDelay = (attempt: number, error: Error): string => {
    said.push([attempt, error.message]);
    return `${attempt}s`;
  };
  const { at, failures } = await runsOf(failing, 11_000, { every: '10m', retryDelay });
  expect(at.map((ms) => Math.round(ms / 100))).toEqual([0, 10, 30, 60, 100]);
  expect(said).toEqual([1, 2, 3, 4, 5].map((attempt) => [attempt, 'away']));
  // In the store it is what the next shift goes by.
  expect(failures.map(({ heldUntil, failedAt }) => heldUntil! - failedAt)).toEqual([5_000]);
});

test('or later than the interval, to the millisecond and not to the grid', async () => {
  const { at } = await runsOf(failing, 10_000, { every: '1s', retryDelay: () => 4_200 });
  expect(at.map((ms) => Math.round(ms / 10))).toEqual([0, 420, 840]);
});

test('after a success it is at its interval again, and the failures are counted from one', async () => {
  const attempts: number[] = [];
  let runs = 0;
  const run: Code = () => {
    if (runs++ % 3 < 2) throw new Error('away');
    return { value: 1 };
  };
  const retryDelay = (attempt: number): number => (attempts.push(attempt), 100);
  const { at } = await runsOf(run, 3_000, { every: '1s', retryDelay });
  expect(attempts).toEqual(attempts.map((_, i) => (i % 2) + 1));
  expect(attempts.length).toBeGreaterThanOrEqual(4);
  // From the good run back to the grid: at most one interval, at least half of one.
  const gap = at[3]! - at[2]!;
  expect(gap).toBeGreaterThanOrEqual(500);
  expect(gap).toBeLessThanOrEqual(1_005);
});

test.each<[string, Over['retryDelay'], number, string | undefined]>([
  ['0 is 50 ms', () => 0, 50, undefined],
  ['Infinity is maxBackoff', () => Infinity, 3_000, '3s'],
  ['a day is maxBackoff', () => '1d', 3_000, '3s'],
])('%s', async (_what, retryDelay, expected, maxBackoff) => {
  const { at } = await runsOf(failing, 3_100, { every: '10s', retryDelay, ...(maxBackoff && { maxBackoff }) });
  expect(at[1]).toBe(expected);
});

test.each<[string, unknown]>([
  ['throws', () => JSON.parse('{') as unknown],
  ['says nonsense', () => 'soon'],
  ['says a negative time', () => -1],
  ['says NaN', () => NaN],
  ['answers later', () => Promise.reject(new Error('later'))],
  ['says nothing', () => undefined],
])('one that %s leaves the interval as it is, and harms no run', async (_what, retryDelay) => {
  const { at, errors } = await runsOf(failing, 3_500, { every: '1s', retryDelay: retryDelay as Over['retryDelay'] });
  expect(at.length).toBeGreaterThanOrEqual(4);
  expect(new Set(errors.map(({ error }) => error.message))).toEqual(new Set(['away']));
});

test('maxBackoff 0 switches it off while the tracker runs', async () => {
  const retryDelay = jest.fn(() => 100);
  const { at } = await runsOf(failing, 2_500, { every: '1s', maxBackoff: 0, retryDelay });
  expect(at.length).toBeLessThanOrEqual(4);
  expect(retryDelay).not.toHaveBeenCalled();
});

test('a hold has a time of its own', async () => {
  const retryDelay = jest.fn(() => 100);
  const hold: Code = () => {
    throw new HoldError('429', { afterMs: 5_000, scope: 'member' });
  };
  const { at } = await runsOf(hold, 4_500, { every: '1s', retryDelay });
  expect(at).toEqual([0]);
  expect(retryDelay).not.toHaveBeenCalled();
});

describe('the next shift', () => {
  async function firstRun(stored: Parameters<typeof freshness>[1], over: Over = {}, lifted = false): Promise<number> {
    let at = Infinity;
    const kit = shiftOf(
      looking(
        () => {
          at = Math.min(at, kit.clock.now() - T0);
          return { value: 1 };
        },
        { every: '10m', retryDelay: () => '10s', ...over },
      ),
    );
    const a = member('a', { addedAt: T0 - 600_000 });
    if (lifted) {
      const row = { tracker: 't', operation: 'look', until: 0, toldAt: 0, reason: '', liftedAt: T0 - 1 };
      (kit.host.holds as NodeHolds).adopt(row);
    }
    kit.shift.loadAll([a], [freshness(a, stored)]);
    await kit.pass(10_000);
    return at;
  }
  const failed = { fetchedAt: T0 - 60_000, failedAt: T0 - 1_000, heldUntil: T0 + 4_000, failures: 2 };

  test('tries again when the shift before would have', async () => {
    expect(await firstRun(failed)).toBe(4_000);
  });

  test.each<[string, Parameters<typeof freshness>[1], Over, boolean]>([
    ['that was the end of a hold', { ...failed, byHold: true }, {}, false],
    ['the definition has no such word any more', failed, { retryDelay: undefined }, false],
    ['it is switched off', failed, { maxBackoff: 0 }, false],
    ['it was lifted by hand', failed, {}, true],
    ['the last run was good', { ...failed, failedAt: null, heldUntil: null, failures: 0 }, {}, false],
  ])('keeps to the interval where %s', async (_what, stored, over, lifted) => {
    expect(await firstRun(stored, over, lifted)).toBeGreaterThan(10_000);
  });
});

test('defaults.operation may have one for all operations, and an operation its own', () => {
  const [all, own] = [() => 1, () => 2];
  const run = () => ({ value: 1 });
  const operations = { a: { every: '1s', run }, b: { every: '1s', run, retryDelay: own } };
  const config = { trackers: [{ name: 't', operations }], defaults: { operation: { retryDelay: all } } };
  const { definition, options } = resolveConfig(config).trackers[0]!;
  expect(definition.operations.a!.retryDelay).toBe(all);
  expect(definition.operations.b!.retryDelay).toBe(own);
  expect(JSON.stringify(options)).not.toContain('retryDelay');
  const bad = { ...config, defaults: { operation: { retryDelay: '5s' as never } } };
  expect(() => resolveConfig(bad)).toThrow('defaults.operation.retryDelay must be a function');
  const worse = { trackers: [{ name: 't', operations: { a: { every: '1s', run, retryDelay: 5 as never } } }] };
  expect(() => resolveConfig(worse)).toThrow('trackers.t.operations.a.retryDelay must be a function');
});
