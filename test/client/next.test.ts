/** When a member runs next, and why not sooner: each reason by itself, and the last of many that ends. */
import fc from 'fast-check';
import { nextRuns, type NextFacts, type NextRun } from '../../client/tracker/next';
import type { StoredValue } from '../../client/tracker/members';
import { resolveConfig } from '../../exports';
import { histories } from '../support/simulate';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const at = (seconds: number): string => new Date(NOW + seconds * 1_000).toISOString();
const { options } = resolveConfig({
  trackers: [
    {
      name: 't',
      gate: { every: '10s', check: () => true },
      operations: {
        look: { every: '10s', run: () => ({ value: 1 }) },
        check: { every: '1m', enabled: false, run: () => ({ value: 1 }) },
        free: { every: '5m', gated: false, run: () => ({ value: 1 }) },
      },
    },
  ],
}).trackers[0]!;

const value = (over: Partial<StoredValue> = {}): StoredValue => ({
  ...{ operation: 'look', value: 1, fetchedAt: at(-4), ageMs: 4_000, changedAt: null, expiresAt: null, etag: null },
  ...{
    heldUntil: null,
    nextAt: null,
    failedAt: null,
    failures: 0,
    error: null,
    hidden: false,
    encodedBy: null,
    decodeError: null,
  },
  ...over,
});
const facts = (over: Partial<NextFacts> = {}, member: Partial<NextFacts['member']> = {}): NextFacts => ({
  ...{ now: NOW, state: 'running', gate: 'open', place: 'kept', options },
  member: { addedAt: at(-100), values: [value()], holds: [], waits: [], ...member },
  ...over,
});
const of = (runs: NextRun[], operation = 'look'): NextRun => runs.find((run) => run.operation === operation)!;
const hold = (operation: string | null, seconds: number) => ({
  ...{ tracker: 't', operation, heldUntil: at(seconds), leftMs: 1, toldAt: at(-1), node: 'n', reason: '429' },
});

test('by its interval alone', () => {
  expect(of(nextRuns(facts()))).toEqual({
    operation: 'look',
    at: at(6),
    reasons: [{ reason: 'interval', until: at(6), text: expect.any(String) as string }],
  });
  expect(of(nextRuns(facts({}, { values: [value({ fetchedAt: at(-40) })] })))).toMatchObject({
    at: at(-30),
    reasons: [],
  });
  expect(of(nextRuns(facts({}, { values: [] })))).toMatchObject({ at: at(-100), reasons: [] });
});

test.each<[string, Partial<NextFacts>, Partial<NextFacts['member']>, string, number | null]>([
  ['stopped', { state: 'stopped' }, {}, 'stopped', null],
  ['paused', { state: 'paused' }, {}, 'paused', null],
  ['in quarantine', { place: 'quarantined' }, {}, 'quarantined', null],
  ['of a node that is gone', { place: 'node gone' }, {}, 'unkept', null],
  ['behind a closed gate', { gate: 'closed' }, {}, 'gate', null],
  ['behind a gate of which nothing is known', { gate: 'unknown' }, {}, 'gate', null],
  ['held with its operation', {}, { holds: [hold('look', 60)] }, 'hold', 60],
  ['held with the whole tracker', {}, { holds: [hold(null, 60)] }, 'hold', 60],
  ['held by itself', {}, { values: [value({ heldUntil: at(60), failures: 1, error: 'HoldError: 429' })] }, 'hold', 60],
  ['failing', {}, { values: [value({ heldUntil: at(60), failures: 3, error: 'Error: no' })] }, 'failing', 60],
  ['of a value that counts still', {}, { values: [value({ expiresAt: at(60) })] }, 'expires', 60],
  [
    'in front of an empty bucket',
    {},
    { waits: [{ operation: 'look', bucket: 'esi/errors:x', closed: false, since: at(-9), until: at(60) }] },
    'budget',
    60,
  ],
  [
    'in front of a bucket of which nobody knows',
    {},
    { waits: [{ operation: 'look', bucket: 'esi/errors:x', closed: true, since: at(-9), until: null }] },
    'budget',
    null,
  ],
])('%s', (_what, of1, member, reason, seconds) => {
  const run = of(nextRuns(facts(of1, member)));
  expect(run.reasons[0]).toMatchObject({ reason, until: seconds === null ? null : at(seconds) });
  expect(run.at).toBe(seconds === null ? null : at(seconds));
});

test('a retry with a time of its own comes before the interval is over', () => {
  const values = [value({ failedAt: at(-1), heldUntil: at(2), failures: 1, error: 'Error: no' })];
  expect(of(nextRuns(facts({}, { values })))).toMatchObject({ at: at(2), reasons: [{ reason: 'failing' }] });
});

test('an operation that is disabled, one without the gate, and a hold of another one', () => {
  const runs = nextRuns(facts({ gate: 'closed' }, { holds: [hold('free', 60)] }));
  expect(of(runs, 'check')).toMatchObject({ at: null });
  expect(of(runs, 'check').reasons.map(({ reason }) => reason)).toContain('disabled');
  expect(of(runs, 'free')).toMatchObject({ at: at(60), reasons: [{ reason: 'hold' }] });
  expect(of(runs, 'look').reasons.map(({ reason }) => reason)).not.toContain('hold');
});

test('it is never sooner than any of its reasons ends, and what is over is not a reason', () => {
  const seconds = fc.integer({ min: -100, max: 100 });
  const time = fc.option(seconds.map(at));
  const values = fc.record({ heldUntil: time, expiresAt: time, fetchedAt: time, failedAt: time, failures: fc.nat(3) });
  const world = fc.record({
    state: fc.constantFrom('running' as const, 'paused' as const),
    gate: fc.constantFrom('open' as const, 'closed' as const),
    values: fc.option(values),
    holds: fc.array(fc.tuple(fc.constantFrom('look', 'free', null), seconds)),
  });
  fc.assert(
    fc.property(world, ({ state, gate, values: known, holds }) => {
      const member = {
        values: known === null ? [] : [value({ ...known, error: known.failures > 0 ? 'Error: no' : null })],
        holds: holds.map(([operation, left]) => hold(operation, left)),
      };
      for (const run of nextRuns(facts({ state, gate }, member))) {
        for (const { until } of run.reasons) {
          if (until === null) expect(run.at).toBeNull();
          else expect(Date.parse(until)).toBeGreaterThan(NOW);
          if (until !== null && run.at !== null) expect(run.at >= until).toBe(true);
        }
        if (run.reasons.length === 0) expect(Date.parse(run.at!)).toBeLessThanOrEqual(NOW);
      }
    }),
    histories(500),
  );
});
