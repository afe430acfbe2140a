/** When a member is fetched next at the earliest, by what is stored of it (`show`, 'next at'). */
import { nextAt, type HeldBack } from '../../client/tracker/members';
import { resolveConfig } from '../../exports';

const { options } = resolveConfig({
  trackers: [{ name: 't', operations: { look: { every: '10m', run: () => ({ value: 1 }) } } }],
}).trackers[0]!;
const T0 = 1_700_000_000_000;
const row = {
  state: 'running' as const,
  operation: 'look',
  options,
  changes: {},
  fetched_at: T0,
  failed_at: null,
  expires_at: null,
};

const next = (over: Partial<Parameters<typeof nextAt>[0]>, holds: HeldBack['holds'] = []): number | null => {
  const at = nextAt({ ...row, held_until: null, error: null, ...over }, { waits: [], holds });
  return at === null ? null : Date.parse(at) - T0;
};

test.each<[string, Parameters<typeof next>[0], number | null]>([
  ['an interval after the last run', {}, 600_000],
  ['at its expiry, where that is later', { expires_at: T0 + 700_000 }, 700_000],
  ['sooner, where its definition said so of a failure', timed(T0 + 5_000), 5_000],
  ['not sooner for a hold', { ...timed(T0 + 5_000), error: 'HoldError: 429' }, 601_000],
  ['at the end of a hold', { ...timed(T0 + 900_000), error: 'HoldError: 429' }, 900_000],
  ['after the backoff of an id that fails again and again', timed(T0 + 1_200_000), 1_200_000],
  ['at nobody knows when, before the first run', { fetched_at: null }, null],
  ['at nobody knows when, while its tracker is paused', { state: 'paused' }, null],
  ['at nobody knows when, while its tracker is stopped', { state: 'stopped' }, null],
])('%s', (_when, over, expected) => {
  expect(next(over)).toBe(expected);
});

const hold = (operation: string | null, ms: number): HeldBack['holds'][number] => ({
  operation,
  heldUntil: new Date(T0 + ms).toISOString(),
});

test('not before the end of a hold of the operation or of the whole tracker; one of another operation does not count', () => {
  expect(next({}, [hold('look', 700_000), hold('other', 900_000)])).toBe(700_000);
  expect(next({}, [hold(null, 800_000)])).toBe(800_000);
  expect(next({}, [hold('look', 5_000)])).toBe(600_000);
});

function timed(until: number): Parameters<typeof next>[0] {
  return { failed_at: T0 + 1_000, held_until: until, error: 'Error: away' };
}
