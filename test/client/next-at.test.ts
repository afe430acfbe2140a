/** When a member is fetched next at the earliest, by what is stored of it (`show`, 'next at'). */
import { nextAt } from '../../client/tracker/members';
import { resolveConfig } from '../../exports';

const { options } = resolveConfig({
  trackers: [{ name: 't', operations: { look: { every: '10m', run: () => ({ value: 1 }) } } }],
}).trackers[0]!;
const T0 = 1_700_000_000_000;
const row = { operation: 'look', options, changes: {}, fetched_at: T0, failed_at: null, expires_at: null };

const next = (over: Partial<Parameters<typeof nextAt>[0]>): number | null => {
  const at = nextAt({ ...row, held_until: null, error: null, ...over }, []);
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
])('%s', (_when, over, expected) => {
  expect(next(over)).toBe(expected);
});

function timed(until: number): Parameters<typeof next>[0] {
  return { failed_at: T0 + 1_000, held_until: until, error: 'Error: away' };
}
