/**
 * How far an upstream may put off what runs next: `maxExpiry` and `maxHold`, in one shift and from one to the next, and
 * the one place that bounds a hold.
 */
import fc from 'fast-check';
import { boundedHold, DEFAULT_HOLD_MS, LONGEST_HOLD_MS, MAX_HOLD_MS } from '../../config/define/errors';
import { HoldError, type RunContext, type RunResult, type TrackerDefinition } from '../../exports';
import { histories } from '../support/simulate';
import { freshness, member, shiftOf, T0 } from './shift-kit';

const YEAR = 365 * 86_400_000;

function tracker(run: (context: RunContext) => RunResult): TrackerDefinition {
  return { name: 't', operations: { look: { every: '1s', maxExpiry: '3s', maxHold: '2s', maxBackoff: 0, run } } };
}

test.each([
  ['a year', YEAR],
  ['the end of the calendar', 8.64e15],
  ['what no calendar holds', 9.2e21],
  ['for ever', Infinity],
])('an expiry of %s is cut to maxExpiry, and the value is kept', async (_what, expiresAt) => {
  const at: number[] = [];
  const kit = shiftOf(
    tracker(() => {
      at.push(kit.clock.now());
      return { value: at.length, expiresAt: expiresAt === YEAR ? kit.clock.now() + YEAR : expiresAt };
    }),
  );
  kit.shift.loadAll([member('a')], []);
  await kit.pass(5_500);
  expect(kit.errors).toEqual([]);
  expect(at).toHaveLength(2);
  expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(3_000);
  expect(at[1]! - at[0]!).toBeLessThanOrEqual(4_005);
});

test('an expiry that is no time is left out: the value is kept, and it runs at its interval', async () => {
  const at: number[] = [];
  const kit = shiftOf(
    tracker(() => {
      at.push(kit.clock.now());
      return { value: at.length, expiresAt: new Date(NaN) };
    }),
  );
  kit.shift.loadAll([member('a')], []);
  await kit.pass(3_500);
  expect(kit.errors).toEqual([]);
  expect(at.length).toBeGreaterThanOrEqual(3);
});

test.each(['member', 'operation', 'tracker'] as const)(
  'a hold of a year of scope %s is cut to maxHold',
  async (scope) => {
    const at: number[] = [];
    const kit = shiftOf(
      tracker(() => {
        at.push(kit.clock.now());
        // An error that looks like a hold, as another copy of the package may make it.
        throw Object.assign(new HoldError('429', { afterMs: 1, scope }), { afterMs: YEAR });
      }),
    );
    kit.shift.loadAll([member('a')], []);
    await kit.pass(4_500);
    expect(at.length).toBeGreaterThanOrEqual(2);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(2_000);
    expect(at[1]! - at[0]!).toBeLessThanOrEqual(3_005);
  },
);

describe('what an earlier shift was told', () => {
  const begin = async (known: Parameters<typeof freshness>[1]): Promise<number> => {
    const at: number[] = [];
    const kit = shiftOf(
      tracker(() => {
        at.push(kit.clock.now() - T0);
        return { value: 1 };
      }),
    );
    const a = member('a', { addedAt: T0 - 60_000 });
    kit.shift.loadAll([a], [freshness(a, known)]);
    await kit.pass(6_000);
    return at[0]!;
  };

  test('a bound counts from when it was told, however many shifts begin since', async () => {
    // Told a second ago: two are left.
    expect(await begin({ fetchedAt: T0 - 1_000, expiresAt: T0 + YEAR })).toBeGreaterThanOrEqual(2_000);
    expect(await begin({ fetchedAt: T0 - 1_000, expiresAt: T0 + YEAR })).toBeLessThanOrEqual(3_005);
    expect(await begin({ failedAt: T0 - 1_000, heldUntil: T0 + YEAR })).toBeGreaterThanOrEqual(1_000);
    expect(await begin({ failedAt: T0 - 1_000, heldUntil: T0 + YEAR })).toBeLessThanOrEqual(2_005);
    // Told an hour ago: it is over.
    expect(await begin({ fetchedAt: T0 - 3_600_000, expiresAt: T0 + YEAR })).toBeLessThanOrEqual(1_005);
    expect(await begin({ failedAt: T0 - 3_600_000, heldUntil: T0 + YEAR })).toBeLessThanOrEqual(1_005);
  });
});

describe('boundedHold', () => {
  test.each([
    [NaN, DEFAULT_HOLD_MS],
    [-1, DEFAULT_HOLD_MS],
    [-Infinity, DEFAULT_HOLD_MS],
    [undefined, DEFAULT_HOLD_MS],
    [null, DEFAULT_HOLD_MS],
    ['60', DEFAULT_HOLD_MS],
    [Infinity, MAX_HOLD_MS],
    [Number.MAX_VALUE, MAX_HOLD_MS],
    [0, 0],
    [1_500.4, 1_500],
  ])('%p is %i ms', (given, expected) => expect(boundedHold(given)).toBe(expected));

  test('anything is a whole number of milliseconds between nothing and a week, and so is a HoldError’s', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.double()), fc.double({ noNaN: true }), (given, most) => {
        const ms = boundedHold(given, most);
        expect(Number.isSafeInteger(ms) && ms >= 0 && ms <= LONGEST_HOLD_MS).toBe(true);
        const { afterMs } = new HoldError('x', { afterMs: given as number });
        expect(Number.isSafeInteger(afterMs) && afterMs >= 0 && afterMs <= LONGEST_HOLD_MS).toBe(true);
      }),
      histories(),
    );
  });
});
