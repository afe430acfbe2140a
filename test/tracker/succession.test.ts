/**
 * Members of a pool over many shifts that follow each other, with all that comes between them and their runs: gaps
 * between shifts, crashes, pauses, gates, holds and backpressure, new options, an operation that was disabled,
 * expiries, members that come and go. The real agenda and the real lengths of shifts; of each shift only what the store
 * would know reaches the next. (TR-C2: members whose stagger was longer than a shift were put off at each hand-over,
 * for ever; each shift by itself was right.)
 */
import { Agenda, type Schedule } from '../../activities/tracker/shift/agenda';
import { shiftDuration } from '../../workflows/tracker/plan';
import { Draws } from '../support/draws';
import { simulate } from '../support/simulate';

const DAY = 86_400_000;
const MINUTE = 60_000;

interface Member {
  share: number;
  addedAt: number;
  ranAt?: number;
  notBefore: number;
  /** Until when it may wait: moves with what may lawfully move it. */
  deadline: number;
  /** Time after the deadline in which it could have run. */
  waited: number;
}

/** The worst that is allowed of time that was free to run after the deadline. */
const catchUp = ({ everyMs, windowMs }: Schedule): number => Math.min(everyMs, Math.max(windowMs, 0), MINUTE);

function schedule(draw: Draws): Schedule {
  const everyMs = draw.size(50, DAY);
  return {
    everyMs,
    concurrency: draw.one([1, 2, 5, 50]),
    baseMs: draw.chance(0.7) ? 0 : draw.size(1, everyMs),
    windowMs: draw.one([0, everyMs, everyMs, draw.size(1, 2 * everyMs)]),
  };
}

class World {
  now: number;
  private options: Schedule;
  private readonly firstEveryMs: number;
  private readonly shiftMs: number;
  private readonly members: Member[] = [];
  private agenda: Agenda | undefined;
  /** By slot of the shift that runs. */
  private slots: (Member | undefined)[] = [];
  private frozen = false;
  runs = 0;

  constructor(private readonly draw: Draws) {
    this.now = draw.between(1e12, 2e12);
    this.options = schedule(draw);
    this.firstEveryMs = this.options.everyMs;
    this.shiftMs = Math.max(1_000, Math.min(DAY / 2, draw.size(this.options.everyMs / 200, this.options.everyMs * 20)));
    const count = draw.size(1, 40);
    const long = draw.between(0, 3) * this.options.everyMs;
    for (let i = 0; i < count; i++) {
      const ranAt = draw.chance(0.4) ? undefined : this.now - draw.between(0, 5) * this.options.everyMs;
      this.members.push(this.newcomer(this.now - long, ranAt));
    }
  }

  live(): void {
    for (let shift = 1; shift < 30; shift++) {
      this.begin();
      const whole = shiftDuration(this.shiftMs, 7, shift);
      this.pass(this.draw.chance(0.3) ? whole * this.draw.next() : whole);
      this.agenda = undefined;
      this.pass(this.draw.chance(0.1) ? this.draw.between(0, 3) * this.options.everyMs : this.draw.between(0, 500));
    }
  }

  private newcomer(addedAt: number, ranAt?: number): Member {
    const member = { share: this.draw.next(), addedAt, ranAt, notBefore: 0, deadline: 0, waited: 0 };
    member.deadline = this.deadlineOf(member);
    // It was overdue when the world began.
    if (member.deadline < this.now) member.deadline = this.now;
    return member;
  }

  private deadlineOf({ ranAt, addedAt, share, notBefore }: Member): number {
    const { everyMs, baseMs, windowMs } = this.options;
    const due = ranAt === undefined ? addedAt + baseMs + share * windowMs : ranAt + everyMs;
    return Math.max(due, notBefore + (notBefore > due - everyMs ? everyMs / 2 : 0));
  }

  private begin(): void {
    const never = this.members.filter(({ ranAt }) => ranAt === undefined).length;
    this.agenda = new Agenda(this.options);
    this.slots = [];
    for (const member of this.members) this.join(member, never > this.options.concurrency);
    this.agenda.joined(this.now, this.options.concurrency);
  }

  private join(member: Member, crowd: boolean): void {
    let slot = this.slots.indexOf(undefined);
    if (slot < 0) slot = this.slots.length;
    this.slots[slot] = member;
    this.agenda!.join(slot, member, this.now, crowd);
  }

  /** Time goes by, with or without a shift, and things happen in it. */
  private pass(ms: number): void {
    const until = this.now + ms;
    while (this.now < until) {
      const { agenda } = this;
      const next = agenda && !this.frozen ? agenda.nextDue : Infinity;
      const happens = this.now + this.draw.between(0.01, 2) * Math.min(ms, this.options.everyMs);
      const to = Math.max(this.now, Math.min(until, next, happens));
      if (agenda && !this.frozen) this.waits(to - this.now);
      this.now = to;
      if (agenda && !this.frozen) this.runDue(agenda);
      if (to === happens) this.happen();
    }
  }

  private waits(ms: number): void {
    // An interval that was longer a moment ago counts as well.
    const everyMs = 2 * this.firstEveryMs;
    const most =
      catchUp({ ...this.options, everyMs }) * (2 + Math.log(this.members.length)) + Math.min(MINUTE, everyMs);
    for (const member of this.members) {
      const free = Math.min(ms, this.now + ms - Math.max(member.deadline, member.notBefore));
      if (free <= 0) continue;
      member.waited += free;
      if (member.waited > most + 1) {
        const told = JSON.stringify({ member, options: this.options, shiftMs: this.shiftMs, now: this.now });
        throw new Error(`a member has waited for ${member.waited} ms of ${most} ms that are allowed: ${told}`);
      }
    }
  }

  private runDue(agenda: Agenda): void {
    agenda.ripen(this.now);
    for (let slot = agenda.take(); slot >= 0; slot = agenda.take()) {
      const member = this.slots[slot]!;
      if (this.now < member.notBefore) throw new Error(`asked ${member.notBefore - this.now} ms too early`);
      const first = member.addedAt + this.options.baseMs;
      if (member.ranAt === undefined && this.now < first - 1)
        throw new Error(`its first run is ${first - this.now} ms before its base is over`);
      this.runs++;
      member.ranAt = this.now;
      member.waited = 0;
      const { everyMs } = this.options;
      const later = this.draw.one([0, 0, 0, 0.01, 0.7, 1, 1, 2, 3.3]) * everyMs;
      member.notBefore = later === 0 ? 0 : this.now + later;
      member.deadline = this.deadlineOf(member);
      agenda.finish(slot, this.now, member.notBefore);
    }
  }

  private happen(): void {
    const { agenda, draw } = this;
    const what = draw.one(['frozen', 'frozen', 'options', 'add', 'remove', 'restart', 'hold']);
    if (what === 'frozen') {
      this.frozen = !this.frozen;
      if (!this.frozen) agenda?.resume(this.now);
    } else if (what === 'options' && draw.chance(0.3)) {
      const everyMs = Math.round(Math.max(50, Math.min(DAY, this.firstEveryMs * draw.between(0.3, 2))));
      this.options = { ...this.options, everyMs, windowMs: draw.one([0, everyMs, this.options.windowMs]) };
      agenda?.reschedule(this.options, this.now);
      for (const member of this.members) member.deadline = Math.max(member.deadline, this.deadlineOf(member));
    } else if (what === 'add') {
      const some = Array.from({ length: draw.size(1, 5) }, () => this.newcomer(this.now));
      this.members.push(...some);
      if (!agenda) return;
      for (const member of some) this.join(member, some.length > this.options.concurrency);
      agenda.joined(this.now, this.options.concurrency);
    } else if (what === 'remove' && this.members.length > 1) {
      const [member] = this.members.splice(Math.floor(draw.next() * this.members.length), 1);
      const slot = this.slots.indexOf(member);
      if (!agenda || slot < 0) return;
      agenda.leave(slot);
      this.slots[slot] = undefined;
    } else if (what === 'restart' && agenda && !this.frozen && draw.chance(0.1)) {
      agenda.restart(this.now, this.now);
      for (const member of this.members) {
        if (member.ranAt === undefined) member.addedAt = this.now;
        member.deadline = Math.max(member.deadline, this.deadlineOf(member));
      }
    } else if (what === 'hold' && agenda) {
      const slot = Math.floor(draw.next() * this.slots.length);
      const member = this.slots[slot];
      if (!member) return;
      member.notBefore = Math.max(member.notBefore, this.now + draw.between(0, 2) * this.options.everyMs);
      member.deadline = this.deadlineOf(member);
      agenda.hold(slot, member.notBefore);
    }
  }
}

simulate(
  'over shifts that follow each other nobody waits longer than interval, stagger and what held it, or is asked too early',
  (seed) => {
    const world = new World(new Draws(seed));
    world.live();
  },
  { histories: 600 },
);

describe('TR-C2, over a day of shifts of ten minutes', () => {
  const schedules: [string, number][] = [
    ['15 min', 15 * MINUTE],
    ['1 h', 60 * MINUTE],
    ['1 d', DAY],
  ];
  const COUNT = 1_000;
  /** Runs a day and an interval of shifts; returns how many members have run. */
  function day(everyMs: number, joining: (i: number) => { addedAt: number; ranAt?: number }): number {
    const options = { everyMs, concurrency: 50, baseMs: 0, windowMs: everyMs };
    const known = Array.from({ length: COUNT }, (_, i) => ({ share: i / COUNT, notBefore: 0, ...joining(i) }));
    const ran = new Set<number>();
    let now = 1e12;
    for (const until = now + DAY + everyMs, pool = 3; now < until;) {
      const agenda = new Agenda(options);
      const never = known.filter(({ ranAt }) => ranAt === undefined).length;
      known.forEach((member, slot) => agenda.join(slot, member, now, never > options.concurrency));
      agenda.joined(now, options.concurrency);
      const end = now + shiftDuration(10 * MINUTE, pool, Math.round(now));
      for (; agenda.nextDue < end;) {
        now = Math.max(now, agenda.nextDue);
        agenda.ripen(now);
        for (let slot = agenda.take(); slot >= 0; slot = agenda.take()) {
          ran.add(slot);
          known[slot]!.ranAt = now;
          agenda.finish(slot, now);
        }
      }
      now = end + 60;
    }
    return ran.size;
  }

  test.each(schedules)('an operation that is new to members of long ago, every %s: all run', (_every, everyMs) => {
    expect(day(everyMs, () => ({ addedAt: 1e12 - 30 * DAY }))).toBe(COUNT);
  });
  test.each(schedules)('the last runs were two to three intervals ago, every %s: all run', (_every, everyMs) => {
    expect(day(everyMs, (i) => ({ addedAt: 0, ranAt: 1e12 - (2 + i / COUNT) * everyMs }))).toBe(COUNT);
  });
});
