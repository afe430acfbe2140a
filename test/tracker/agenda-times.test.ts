/** Each of an agenda's rules of time by itself, for any schedule, share and moment. */
import fc from 'fast-check';
import { Agenda } from '../../activities/tracker/shift/agenda';
import { drain, EVERY, T0 } from './agenda-kit';

describe('one by one, at any time', () => {
  const ms = fc.integer({ min: 0, max: 100_000 });
  const schedule = fc.record({
    everyMs: fc.integer({ min: 50, max: 20_000 }),
    concurrency: fc.integer({ min: 1, max: 5 }),
    baseMs: fc.nat(5_000),
    windowMs: fc.nat(20_000),
  });
  const share = fc.double({ min: 0, max: 0.999, noNaN: true });

  test('the first run is neither before base and share of the window, nor ever after them', () => {
    fc.assert(
      fc.property(schedule, share, fc.boolean(), (given, part, crowd) => {
        const agenda = new Agenda(given);
        agenda.join(0, { share: part, addedAt: T0 }, T0, crowd);
        expect(agenda.nextDue).toBeCloseTo(T0 + given.baseMs + (crowd ? part * given.windowMs : 0), 3);
      }),
    );
  });

  test('Better: however late a run ends, the next is one interval of its grid away at most, and what was missed is counted', () => {
    fc.assert(
      fc.property(schedule, share, ms, ms, (given, part, startLate, took) => {
        const agenda = new Agenda(given);
        const phase = (given.baseMs + part * given.windowMs) % given.everyMs;
        const ranAt = phase + given.everyMs * Math.floor((T0 - phase) / given.everyMs);
        agenda.join(0, { share: part, addedAt: ranAt, ranAt }, ranAt, true);
        const due = agenda.nextDue;
        expect(due - ranAt).toBeCloseTo(given.everyMs, 3);
        drain(agenda, due + startLate);
        const now = due + startLate + took;
        const skipped = agenda.finish(0, now);
        expect(skipped).toBe(Math.floor((startLate + took) / given.everyMs));
        expect(agenda.nextDue).toBeGreaterThan(now);
        expect(agenda.nextDue).toBeLessThanOrEqual(now + given.everyMs + 0.001);
        // Still on its grid: a whole number of intervals after the last.
        const steps = (agenda.nextDue - due) / given.everyMs;
        expect(Math.abs(steps - Math.round(steps))).toBeLessThan(1e-3);
        // Never two turns for one slot.
        expect(drain(agenda, now + 10 * given.everyMs)).toEqual([0]);
      }),
    );
  });

  test('a run beside the grid is followed by one that is half an interval later at least, one at most, and then by the grid', () => {
    fc.assert(
      fc.property(schedule, share, (given, part) => {
        const agenda = new Agenda(given);
        agenda.join(0, { share: part, addedAt: T0, ranAt: T0 }, T0, true);
        const gaps: number[] = [];
        for (let before = T0; gaps.length < 4; before += gaps.at(-1)!) {
          const due = agenda.nextDue;
          gaps.push(due - before);
          drain(agenda, due);
          agenda.finish(0, due);
        }
        for (const gap of gaps) {
          expect(gap).toBeGreaterThan(given.everyMs / 2 - 1);
          expect(gap).toBeLessThan(given.everyMs + 1);
        }
        expect(gaps[3]).toBeCloseTo(given.everyMs, 3);
      }),
    );
  });

  test('Better: nothing runs before an expiry or hold, and the first time of the grid after it is taken', () => {
    fc.assert(
      fc.property(schedule, share, ms, (given, part, later) => {
        const agenda = new Agenda(given);
        agenda.join(0, { share: part, addedAt: T0, ranAt: T0 }, T0, true);
        const due = agenda.nextDue;
        drain(agenda, due);
        agenda.finish(0, due + 1, due + 1 + later);
        expect(agenda.nextDue).toBeGreaterThanOrEqual(due + 1 + later);
        expect(agenda.nextDue).toBeLessThanOrEqual(due + 1 + later + given.everyMs + 0.001);
      }),
    );
  });

  test('an expiry that is known when a member joins holds, and then it is its turn', () => {
    fc.assert(
      fc.property(schedule, share, ms, (given, part, later) => {
        const agenda = new Agenda(given);
        agenda.join(0, { share: part, addedAt: T0 - 1e6, ranAt: T0 - 10, notBefore: T0 + later }, T0, true);
        expect(agenda.nextDue).toBeGreaterThanOrEqual(T0 + later);
        // A time of the grid within half an interval of the last run is passed over.
        expect(drain(agenda, T0 + later + 1.5 * given.everyMs + 1)).toEqual([0]);
      }),
    );
  });

  test.each(['waiting', 'ready', 'running'])(
    'a member that leaves while it is %s is gone, and its place in the concurrency free',
    (state) => {
      const agenda = new Agenda({ ...EVERY, concurrency: 1, windowMs: 0 });
      agenda.join(0, { share: 0, addedAt: T0 + (state === 'waiting' ? 500 : 0) }, T0, false);
      agenda.ripen(T0);
      if (state === 'running') expect(agenda.take()).toBe(0);
      agenda.leave(0);
      expect([agenda.members, agenda.running, agenda.backlog]).toEqual([0, 0, 0]);
      // Late news of it changes nothing.
      expect(agenda.finish(0, T0 + 10)).toBe(0);
      agenda.hold(0, T0 + 10);
      agenda.leave(0);
      agenda.join(1, { share: 0, addedAt: T0 + 20 }, T0 + 20, false);
      expect(drain(agenda, T0 + 5_000)).toEqual([1]);
      expect([agenda.members, agenda.running]).toEqual([1, 1]);
    },
  );

  test('those in line go first come, first served, past those that left', () => {
    const agenda = new Agenda({ ...EVERY, concurrency: 1, windowMs: 0 });
    for (let slot = 0; slot < 200; slot++) agenda.join(slot, { share: 0, addedAt: T0 + slot }, T0, false);
    agenda.ripen(T0 + 1_000);
    for (let slot = 0; slot < 200; slot += 3) agenda.leave(slot);
    const order: number[] = [];
    for (let slot = agenda.take(); slot >= 0; slot = agenda.take()) {
      order.push(slot);
      agenda.leave(slot);
    }
    expect(order).toEqual(Array.from({ length: 200 }, (_, slot) => slot).filter((slot) => slot % 3 !== 0));
    expect(agenda.backlog).toBe(0);
  });

  test('a new interval, at any moment: everybody waiting is due within it, those running finish onto the new grid', () => {
    fc.assert(
      fc.property(
        schedule,
        schedule,
        fc.array(share, { minLength: 1, maxLength: 30 }),
        ms,
        (before, after, shares, passed) => {
          const agenda = new Agenda(before);
          shares.forEach((part, slot) => agenda.join(slot, { share: part, addedAt: T0, ranAt: T0 }, T0, true));
          const now = T0 + passed;
          const taken = drain(agenda, now);
          const waiting = shares.length - taken.length - agenda.backlog;
          agenda.reschedule(after, now);
          for (const slot of taken) agenda.finish(slot, now);
          agenda.ripen(now);
          const late = agenda.backlog;
          expect(late).toBeLessThanOrEqual(shares.length - taken.length - waiting);
          agenda.ripen(now + 1.5 * after.everyMs + 1);
          expect(agenda.backlog).toBe(shares.length);
        },
      ),
    );
  });

  test('a hold of one that waits or is in line keeps it back and nobody else', () => {
    const agenda = new Agenda({ ...EVERY, windowMs: 0 });
    for (let slot = 0; slot < 3; slot++) agenda.join(slot, { share: 0, addedAt: T0 }, T0, false);
    agenda.ripen(T0);
    agenda.hold(1, T0 + 5_000);
    expect(drain(agenda, T0 + 4_000)).toEqual([0, 2]);
    expect(drain(agenda, T0 + 6_000)).toEqual([1]);
  });
});
