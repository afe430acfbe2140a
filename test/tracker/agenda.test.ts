/** When members are due, in what order they run and how many at once: by example, and over random histories. */
import fc from 'fast-check';
import { Agenda } from '../../activities/tracker/shift/agenda';
import { drain, EVERY, T0 } from './agenda-kit';

describe('when members are due', () => {
  test('a crowd spreads over the stagger: base plus its share of the window', () => {
    const agenda = new Agenda({ ...EVERY, baseMs: 300, windowMs: 500 });
    agenda.join(0, { share: 0, addedAt: T0 }, T0, true);
    agenda.join(1, { share: 0.5, addedAt: T0 }, T0, true);
    expect(drain(agenda, T0 + 299)).toEqual([]);
    expect(drain(agenda, T0 + 300)).toEqual([0]);
    expect(drain(agenda, T0 + 549)).toEqual([]);
    expect(drain(agenda, T0 + 550)).toEqual([1]);
  });

  test('a lone newcomer starts after the base alone', () => {
    const agenda = new Agenda(EVERY);
    agenda.join(0, { share: 0.9, addedAt: T0 }, T0 + 40, false);
    expect(drain(agenda, T0 + 40)).toEqual([0]);
  });

  test('a first run that must wait its interval does (the offline check)', () => {
    const agenda = new Agenda({ everyMs: 300_000, concurrency: 1, baseMs: 300_000, windowMs: 0 });
    agenda.join(0, { share: 0.3, addedAt: T0 }, T0, false);
    expect(drain(agenda, T0 + 299_999)).toEqual([]);
    expect(drain(agenda, T0 + 300_000)).toEqual([0]);
  });

  test('a run on time is followed by the next of the grid, without drift', () => {
    const agenda = new Agenda(EVERY);
    agenda.join(0, { share: 0.25, addedAt: T0, ranAt: T0 - 750 }, T0, true);
    let now = T0;
    const starts: number[] = [];
    for (let i = 0; i < 5; i++) {
      now = agenda.nextDue;
      drain(agenda, now + 3);
      starts.push(now);
      expect(agenda.finish(0, now + 43)).toBe(0);
    }
    for (let i = 1; i < 5; i++) expect(starts[i]! - starts[i - 1]!).toBe(1_000);
  });

  test('a late run happens once and says how many it skipped', () => {
    const agenda = new Agenda(EVERY);
    agenda.join(0, { share: 0, addedAt: T0, ranAt: T0 }, T0, true);
    const due = agenda.nextDue;
    expect(drain(agenda, due + 4_500)).toEqual([0]);
    expect(agenda.finish(0, due + 4_600)).toBe(4);
    expect(agenda.nextDue).toBe(due + 5_000);
  });

  test('after an expiry the next time of the grid is taken if it comes within half an interval, else the end of the expiry', () => {
    const nextAfter = (laterMs: number): number => {
      const agenda = new Agenda(EVERY);
      agenda.join(0, { share: 0, addedAt: T0, ranAt: T0 }, T0, true);
      const due = agenda.nextDue;
      drain(agenda, due);
      agenda.finish(0, due + 40, due + laterMs);
      return agenda.nextDue - due;
    };
    expect(nextAfter(4_700)).toBe(5_000);
    expect(nextAfter(4_200)).toBe(4_200);
    expect(nextAfter(900)).toBe(1_000);
    expect(nextAfter(5_000)).toBe(5_000);
  });

  // TR-M1: every 60 s, max-age 60 s and an answer after 80 ms ran every 120 s.
  test.each([
    [1_000, 1_000],
    [60_000, 60_000],
    [60_000, 61_000],
    [60_000, 120_000],
    [60_000, 45_000],
    [86_400_000, 86_400_000],
    [5_000, 5_400],
  ])(
    'every %i ms with an expiry after %i ms asks at the expiry, in the shift and over hand-overs',
    (everyMs, ageMs) => {
      for (const handOver of [false, true]) {
        const schedule = { ...EVERY, everyMs, windowMs: everyMs };
        let agenda = new Agenda(schedule);
        agenda.join(0, { share: 0.4, addedAt: T0 }, T0, false);
        let asked = -Infinity;
        for (let i = 0; i < 1_000; i++) {
          const now = agenda.nextDue;
          const wished = asked + Math.max(everyMs, ageMs + 80);
          expect(now).toBeGreaterThanOrEqual(asked + ageMs + 80);
          if (i > 0) expect(now).toBeLessThanOrEqual(wished + everyMs / 2 + 1);
          drain(agenda, now);
          asked = now;
          if (handOver) {
            agenda = new Agenda(schedule);
            agenda.join(0, { share: 0.4, addedAt: T0, ranAt: now + 80, notBefore: now + 80 + ageMs }, now + 90, true);
          } else {
            agenda.finish(0, now + 80, now + 80 + ageMs);
          }
        }
        // On average it is asked as often as it may be.
        if (ageMs >= everyMs) expect((asked - T0) / 999).toBeLessThan(1.02 * (ageMs + 80) + everyMs * 0.26);
      }
    },
  );

  test('after a hand-over the grid goes on from what the store says', () => {
    const agenda = new Agenda(EVERY);
    agenda.join(0, { share: 0.5, addedAt: T0 - 60_000, ranAt: T0 - 480 }, T0, true);
    expect(agenda.nextDue).toBe(T0 + 500);
  });

  test('after a pause the overdue wait for their next time instead of all at once', () => {
    const agenda = new Agenda(EVERY);
    for (let slot = 0; slot < 10; slot++) agenda.join(slot, { share: slot / 10, addedAt: T0, ranAt: T0 }, T0, true);
    agenda.ripen(T0 + 60_000);
    agenda.resume(T0 + 60_000);
    expect(agenda.backlog).toBe(0);
    expect(drain(agenda, T0 + 60_000).length).toBeLessThanOrEqual(1);
    expect(drain(agenda, T0 + 61_000).length).toBeGreaterThanOrEqual(9);
  });

  test('a new interval holds from now on', () => {
    const agenda = new Agenda({ ...EVERY, everyMs: 600_000, windowMs: 600_000 });
    agenda.join(0, { share: 0.5, addedAt: T0, ranAt: T0 }, T0, true);
    agenda.reschedule({ ...EVERY, everyMs: 500, windowMs: 500 }, T0 + 1_000);
    expect(agenda.nextDue).toBeLessThanOrEqual(T0 + 1_500);
  });
});

describe('concurrency, lag and rounds', () => {
  test('no more than the concurrency run, and a lowered one holds at once', () => {
    const agenda = new Agenda({ ...EVERY, concurrency: 3 });
    for (let slot = 0; slot < 10; slot++) agenda.join(slot, { share: 0, addedAt: T0 }, T0, false);
    expect(drain(agenda, T0)).toHaveLength(3);
    agenda.reschedule({ ...EVERY, concurrency: 1 }, T0);
    agenda.finish(0, T0 + 10);
    expect(drain(agenda, T0 + 10)).toHaveLength(0);
  });

  test('a round is one pass, and its lag the largest (finished − due)', () => {
    const agenda = new Agenda(EVERY);
    for (let slot = 0; slot < 3; slot++) agenda.join(slot, { share: 0, addedAt: T0, ranAt: T0 }, T0, true);
    const due = agenda.nextDue;
    drain(agenda, due);
    agenda.finish(0, due + 40);
    agenda.finish(1, due + 900);
    expect(agenda.rounds).toBe(0);
    agenda.finish(2, due + 50);
    expect(agenda.rounds).toBe(1);
    expect(agenda.lastRoundMs).toBe(900);
  });

  test('an operation that hangs lags although no run of it has finished', () => {
    const agenda = new Agenda({ ...EVERY, concurrency: 1 });
    agenda.join(0, { share: 0, addedAt: T0, ranAt: T0 }, T0, true);
    const due = agenda.nextDue;
    drain(agenda, due);
    expect(agenda.lagNow(due + 3_000, due)).toBe(3_000);
  });
});

test('over random histories no member runs twice at once, none is lost, none starves', () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ op: fc.constant('join' as const), share: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
      fc.record({ op: fc.constant('leave' as const), pick: fc.nat() }),
      fc.record({ op: fc.constant('pass' as const), ms: fc.nat(3_000) }),
      fc.record({ op: fc.constant('finish' as const), pick: fc.nat(), later: fc.nat(5_000) }),
      fc.record({ op: fc.constant('hold' as const), pick: fc.nat(), ms: fc.nat(5_000) }),
      fc.record({ op: fc.constant('resume' as const) }),
    ),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(steps, (history) => {
      const agenda = new Agenda({ ...EVERY, concurrency: 4 });
      const members = new Set<number>();
      const running = new Set<number>();
      let now = T0;
      let slots = 0;
      const pickOf = (set: Set<number>, pick: number) => [...set][pick % Math.max(1, set.size)];
      for (const step of history) {
        if (step.op === 'join') {
          members.add(slots);
          agenda.join(slots++, { share: step.share, addedAt: now }, now, true);
        } else if (step.op === 'leave') {
          const slot = pickOf(members, step.pick);
          if (slot === undefined) continue;
          members.delete(slot);
          running.delete(slot);
          agenda.leave(slot);
        } else if (step.op === 'pass') {
          now += step.ms;
          for (const slot of drain(agenda, now)) {
            expect(members.has(slot)).toBe(true);
            expect(running.has(slot)).toBe(false);
            running.add(slot);
          }
        } else if (step.op === 'resume') {
          agenda.resume(now);
        } else if (step.op === 'hold') {
          const slot = pickOf(members, step.pick);
          if (slot !== undefined && !running.has(slot)) agenda.hold(slot, now + step.ms);
        } else {
          const slot = pickOf(running, step.pick);
          if (slot === undefined) continue;
          running.delete(slot);
          agenda.finish(slot, now, now + step.later);
        }
        expect(agenda.members).toBe(members.size);
        expect(agenda.running).toBe(running.size);
        expect(running.size).toBeLessThanOrEqual(4);
      }
      // Left alone, everybody has its turn.
      for (const slot of running) agenda.finish(slot, now);
      const seen = new Set<number>();
      for (let i = 0; i < 200 && seen.size < members.size; i++) {
        now += 200;
        for (const slot of drain(agenda, now)) {
          seen.add(slot);
          agenda.finish(slot, now);
        }
      }
      expect(seen.size).toBe(members.size);
    }),
  );
});
