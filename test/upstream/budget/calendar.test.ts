/** When hours, days, weeks and months begin in a time zone, also over the changes of its clock. */
import fc from 'fast-check';
import { histories } from '../../support/simulate';
import { windowStart, type Period } from '../../../activities/upstream/budget/calendar';

const at = (text: string): number => Date.parse(text) / 1_000;

test.each<[Period, string, string, string]>([
  ['day', 'UTC', '2026-11-28T12:34:56Z', '2026-11-28T00:00:00Z'],
  ['hour', 'UTC', '2026-11-28T12:34:56Z', '2026-11-28T12:00:00Z'],
  ['month', 'America/New_York', '2026-11-28T12:00:00Z', '2026-11-01T04:00:00Z'],
  ['week', 'Europe/Berlin', '2026-11-28T12:00:00Z', '2026-11-22T23:00:00Z'],
  ['day', 'America/New_York', '2026-11-28T04:59:59Z', '2026-11-27T05:00:00Z'],
  ['day', 'America/New_York', '2026-11-28T05:00:00Z', '2026-11-28T05:00:00Z'],
  ['day', 'Asia/Kathmandu', '2026-11-28T12:00:00Z', '2026-11-27T18:15:00Z'],
  ['hour', 'Asia/Kathmandu', '2026-11-28T12:20:00Z', '2026-11-28T12:15:00Z'],
  // A day of 25 hours, and an hour that comes twice.
  ['day', 'Europe/Berlin', '2026-10-25T22:30:00Z', '2026-10-24T22:00:00Z'],
  ['hour', 'Europe/Berlin', '2026-10-25T01:30:00Z', '2026-10-25T00:00:00Z'],
  // A day without a midnight begins at one.
  ['day', 'Africa/Cairo', '2026-04-24T12:00:00Z', '2026-04-23T22:00:00Z'],
])('the %s in %s at %s began at %s', (period, zone, now, start) => {
  expect(new Date(windowStart(period, zone)(at(now)) * 1_000).toISOString()).toBe(
    new Date(at(start) * 1_000).toISOString(),
  );
});

test('it begins with itself, and never after now', () => {
  const zones = ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Apia', 'Australia/Lord_Howe'];
  fc.assert(
    fc.property(
      fc.constantFrom<Period>('hour', 'day', 'week', 'month'),
      fc.constantFrom(...zones),
      fc.integer({ min: at('2000-01-01T00:00:00Z'), max: at('2040-01-01T00:00:00Z') }),
      (period, zone, now) => {
        const start = windowStart(period, zone);
        const from = start(now);
        expect(from).toBeLessThanOrEqual(now);
        expect(start(from)).toBe(from);
        expect(start(from - 1)).toBeLessThan(from);
      },
    ),
    histories(40),
  );
});

test('a zone that does not exist is refused', () => {
  expect(() => windowStart('day', 'Mars/Olympus')).toThrow(RangeError);
});
