/**
 * A schedule that is changed while a job runs: what the old one owed is owed, and the new one counts from the change
 * on. No time is counted twice.
 */
import fc from 'fast-check';
import type { JobNode } from '../../activities/job/node';
import { calendarOf, countDue, dueBetween } from '../../activities/job/calendar';
import { resolveConfig } from '../../exports';
import type { EarlierSchedule } from '../../workflows/job/contract';
import type { JobOptions, Schedule } from '../../workflows/job/options';
import { nextTick, type Known } from '../../workflows/job/plan';
import { histories } from '../support/simulate';
import { PassStack } from './pass-kit';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const options = (schedule: Schedule, missed: JobOptions['missed'] = 'once') =>
  ({ schedule, missed }) as unknown as JobOptions;
const every = (everyMs: number) => ({ everyMs });

describe('a changed interval', () => {
  const known = (until: number, was: number): Known => ({ calendar: [], before: [{ schedule: every(was), until }] });

  test('makes nothing of the time before the change', () => {
    // Half past twelve, hourly before, each minute from now on: nothing is missed.
    const noon = 12 * HOUR;
    const changed = noon + 30 * MINUTE;
    expect(nextTick(options(every(MINUTE)), known(changed, HOUR), noon, changed)).toEqual({
      do: 'wait',
      until: changed + MINUTE,
    });
    expect(nextTick(options(every(1_000)), known(23 * HOUR, 24 * HOUR), 0, 23 * HOUR + 1_000)).toMatchObject({
      tick: { due: 23 * HOUR + 1_000, elapsed: 1, since: 23 * HOUR },
    });
    expect(nextTick(options(every(HOUR)), known(changed, MINUTE), changed, changed)).toMatchObject({
      until: 13 * HOUR,
    });
  });

  test('owes what the old one owed: five minutes of a long tick, then by the hour', () => {
    const changed = 5 * MINUTE + 1;
    const at = (settled: number, now: number) => nextTick(options(every(HOUR)), known(changed, MINUTE), settled, now);
    expect(at(0, 10 * MINUTE)).toMatchObject({ tick: { due: 5 * MINUTE, elapsed: 5, since: 0 } });
    expect(at(5 * MINUTE, 10 * MINUTE)).toEqual({ do: 'wait', until: HOUR });
  });

  test('is waited for where the clock of the worker is behind that of the database', () => {
    expect(nextTick(options(every(HOUR)), known(5 * MINUTE, MINUTE), 3 * MINUTE, 3 * MINUTE + 1)).toEqual({
      do: 'wait',
      until: 4 * MINUTE,
    });
    expect(nextTick(options(every(1_000)), known(4 * MINUTE + 30, MINUTE), 4 * MINUTE, 4 * MINUTE + 1)).toEqual({
      do: 'wait',
      until: 4 * MINUTE + 30,
    });
  });

  test('each due time of whichever schedule held then is counted once, run or skipped', () => {
    const schedules = fc.array(fc.record({ everyMs: fc.integer({ min: 100, max: 5_000 }), forMs: fc.integer({ min: 1, max: 9_000 }) }), { minLength: 1, maxLength: 6 });
    const missed = fc.constantFrom<JobOptions['missed']>('once', 'skip', 1, 3);
    fc.assert(
      fc.property(schedules, missed, fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 60 }), (all, policy, delays) => {
        const start = 1_000_000;
        // When each schedule begins to hold.
        const from = all.map((_one, index) => start + all.slice(0, index).reduce((sum, { forMs }) => sum + forMs, 0));
        let settled = start;
        let now = start;
        let counted = 0;
        const end = from.at(-1)! + 20_000;
        const step = (): boolean => {
          const current = from.findLastIndex((time) => time <= now);
          const before = all.slice(0, current).map((one, index): EarlierSchedule => ({ schedule: every(one.everyMs), until: from[index + 1]! }));
          const next = nextTick(options(every(all[current]!.everyMs), policy), { calendar: [], before }, settled, now);
          if (next.do === 'wait' || next.do === 'look') return false;
          counted += next.do === 'tick' ? next.tick.elapsed + next.tick.skipped : next.skipped;
          expect(next.settles).toBeGreaterThan(settled);
          settled = next.settles;
          return true;
        };
        for (const delay of delays) {
          now += delay;
          step();
        }
        now = Math.max(now, end);
        while (step());
        const due = all.reduce((sum, { everyMs }, index) => {
          const upto = from[index + 1] ?? now;
          return sum + Math.floor(upto / everyMs) - Math.floor(from[index]! / everyMs);
        }, 0);
        expect(counted).toBe(due);
      }),
      histories(),
    );
  });
}); // prettier-ignore

describe('a calendar loses no time, however long the downtime', () => {
  const utc = (cron: string) => ({ cron, timeZone: 'UTC' });
  const now = Date.parse('2026-11-28T12:00:30Z');

  test.each([
    ['* * * * *', 3 * 24 * 60, 3 * 24 * HOUR],
    ['* * * * * *', 40 * 60, 40 * MINUTE],
    ['*/7 * * * * *', 24 * 60 * 9, 24 * HOUR],
    ['5,10 */5 * * * *', 2 * 12 * 24 * 30, 30 * 24 * HOUR],
    ['0 4 * * *', 400, 400 * 24 * HOUR],
    ['* * * * *', 20 * 365 * 24 * 60, 20 * 365 * 24 * HOUR],
    ['*/2 * * * * *', 30 * 60 * 24 * 365, 365 * 24 * HOUR],
  ])('%s: %i', async (cron, count, span) => {
    expect(await countDue(utc(cron), now - span, now)).toBe(count);
    const { times, earlier } = await calendarOf(utc(cron), now - span, now);
    expect(earlier + times.filter((time) => time <= now).length).toBe(count);
    expect(nextTick(options(utc(cron)), { calendar: times, earlier }, now - span, now)).toMatchObject({
      tick: { elapsed: count, skipped: 0 },
    });
    expect(nextTick(options(utc(cron), 'skip'), { calendar: times, earlier }, now - span, now)).toMatchObject(
      cron === '0 4 * * *' ? { tick: { elapsed: 1, skipped: count - 1 } } : {},
    );
  });

  test('each of the last n, and the others are skipped', async () => {
    const { times, earlier } = await calendarOf(utc('* * * * *'), now - 3 * 24 * HOUR, now, 3_000);
    expect(nextTick(options(utc('* * * * *'), 3_000), { calendar: times, earlier }, now - 3 * 24 * HOUR, now)).toMatchObject({
      tick: { due: now - 30_000 - 2_999 * MINUTE, elapsed: 1, skipped: 1_320 },
    });
    // The times before it are settled with the first one.
    expect(nextTick(options(utc('* * * * *'), 3_000), { calendar: times, earlier }, times[0]!, now)).toMatchObject({ tick: { skipped: 0 } });
  }); // prettier-ignore

  test('an interval as well: three hours of each tenth of a second', () => {
    expect(nextTick(options(every(100)), { calendar: [] }, now - 3 * HOUR, now)).toMatchObject({
      tick: { elapsed: 108_000, skipped: 0 },
    });
  });

  test('counted by minutes or one by one it is the same, in zones that move too', async () => {
    const near = (day: string) => fc.integer({ min: Date.parse(day) - 48 * HOUR, max: Date.parse(day) + 24 * HOUR });
    const at = fc.oneof(
      near('2026-03-29T00:00:00Z'),
      near('2026-04-05T00:00:00Z'),
      near('2026-10-25T00:00:00Z'),
      near('2026-06-30T00:00:00Z'),
    );
    const crons = fc.constantFrom(
      '*/20 */5 * * * *',
      '30 15 * * * *',
      '10-20 */10 2,3 * * *',
      '*/15 1-3 * * *',
      '0 0 L * *',
      '30 2 * * 0',
      '0 0 29-31 * *',
    );
    const zones = fc.constantFrom(
      'UTC',
      'Europe/Berlin',
      'Australia/Lord_Howe',
      'Asia/Kolkata',
      'America/Santiago',
      'Asia/Beirut',
    );
    await fc.assert(
      fc.asyncProperty(at, fc.integer({ min: 0, max: 96 * HOUR }), crons, zones, async (from, span, cron, timeZone) => {
        const { times } = await calendarOf({ cron, timeZone }, from, from + span, 100_000, 1);
        const single = times.filter((time) => time <= from + span).length;
        expect(await countDue({ cron, timeZone }, from, from + span)).toBe(single);
      }),
      histories(60),
    );
  });

  test('of a job whose schedule was changed: by each schedule as long as it held', async () => {
    const before = [{ schedule: utc('0 * * * *'), until: now - 30 * MINUTE }];
    expect(await dueBetween(options(every(MINUTE)), before, now - 5 * HOUR, now)).toBe(4 + 30);
  });
});

describe('in the database', () => {
  const config = (over: object) => ({
    regens: [{ name: 'stamina', table: 'player', set: { stamina: 'stamina + :elapsed' }, ...over }],
  });
  let stack: PassStack;
  beforeAll(async () => {
    stack = await PassStack.start();
    await stack.sql('create table player (id int primary key, stamina int not null default 0)');
    await stack.sql('insert into player select generate_series(1, 10)');
  });
  afterAll(() => stack.close());
  const set = (node: JobNode, value: number) =>
    node.activities.setJobOptions({ job: 'stamina', changes: [{ path: 'schedule.everyMs', value }] });

  test('a change notes until when the old schedule held; whoever looks is told, also a workflow that was brought back', async () => {
    const node = stack.node(config({ every: '1h' }));
    const hourly = config({ every: '1h' });
    await stack.open(node, hourly, 'stamina');
    // The newest tick has ended: half an hour ago, say.
    await stack.sql(`update longwatch.job set ended_due = now() - interval '30 minutes'`);
    await set(node, 60_000);
    await set(node, 60_000);
    const found = await node.activities.openJob({ job: 'stamina' });
    expect(found.before).toEqual([{ schedule: { everyMs: HOUR }, until: expect.any(Number) as number }]);
    const now = Date.now();
    const next = nextTick(found.options, found, found.endedDue!, now);
    // At the most the one full hour in between.
    if (next.do === 'tick') expect(next.tick.elapsed).toBe(1);
    else expect(next).toMatchObject({ do: 'wait' });

    // A declared definition counts as a change as well; an order that has counted by the new schedule is cut down by
    // both.
    const daily = resolveConfig(config({ cron: '0 4 * * *' })).jobs[0]!.options;
    await node.activities.declareJob({ job: 'stamina', options: daily });
    const all = await node.activities.openJob({ job: 'stamina' });
    expect(all.before!.map(({ schedule }) => schedule)).toEqual([{ everyMs: HOUR }, { everyMs: MINUTE }]);
    await stack.sql(`update longwatch.job set changes = '{}'`);
    expect(await stack.pass(node, 'stamina', { elapsed: 80_000, since: now - 24 * HOUR })).toMatchObject({ rows: 10 });
    expect(await stack.number('select max(stamina) from player')).toBeLessThanOrEqual(2);
  });

  test('while it is paused nothing falls due, so nothing is owed; and a stop forgets', async () => {
    const node = stack.node(config({ every: '1h' }));
    await stack.openWith(node, 'stamina', resolveConfig(config({ every: '1h' })).jobs[0]!.options);
    await node.activities.setJobState({ job: 'stamina', state: 'paused' });
    await set(node, 1_000);
    expect((await node.activities.openJob({ job: 'stamina' })).before).toEqual([]);
  });

  test('the time of a pause is owed to nobody, also where the workflow that was resumed is gone before a tick has ended', async () => {
    const hourly = config({ every: '1h' });
    const node = stack.node(hourly);
    const now = Date.now();
    const began = now - 10 * HOUR;
    // Begins anew ten hours ago, paused soon after, resumed half an hour ago.
    await node.activities.openJob({ job: 'stamina', options: resolveConfig(hourly).jobs[0]!.options, after: began });
    await stack.sql(
      `update longwatch.job set changes = '{}', earlier_schedules = '[]', ended_due = to_timestamp($1::float8 / 1000), settled_until = null`,
      [began - 100 * HOUR],
    );
    await node.activities.openJob({ job: 'stamina', options: resolveConfig(hourly).jobs[0]!.options, after: began });
    const owed = async () => {
      const found = await node.activities.openJob({ job: 'stamina' });
      const next = nextTick(found.options, found, found.settled!, now);
      return next.do === 'tick' ? next.tick.elapsed + next.tick.skipped : 0;
    };
    // By the start, not by the tick of long before.
    expect([10, 11]).toContain(await owed());
    await node.activities.setJobState({ job: 'stamina', state: 'paused' });
    await node.activities.setJobState({ job: 'stamina', state: 'running', settled: now - HOUR / 2 });
    // The answer was lost, and it is said again.
    await node.activities.setJobState({ job: 'stamina', state: 'running', settled: now - HOUR / 2 });
    expect(await owed()).toBeLessThanOrEqual(1);
    // A workflow that was reset has forgotten the pause, and orders all of it; what it ordered before the pause is as
    // it was.
    await stack.sql('update player set stamina = 0');
    expect(await stack.pass(node, 'stamina', { due: began + HOUR, elapsed: 3, since: began - 2 * HOUR })).toMatchObject(
      { rows: 10 },
    );
    expect(await stack.number('select max(stamina) from player')).toBe(3);
    expect(await stack.pass(node, 'stamina', { due: now, elapsed: 9, since: began + HOUR })).toMatchObject({
      rows: 10,
    });
    expect(await stack.number('select max(stamina) from player')).toBe(4);
  });

  test('a calendar that a patrol brings back knows what it missed', async () => {
    const node = stack.node(config({ every: '1h' }));
    await node.activities.setJobOptions({ job: 'stamina', changes: [{ path: 'schedule.everyMs', value: null }] });
    await node.activities.declareJob({ job: 'stamina', options: resolveConfig(config({ cron: '* * * * *' })).jobs[0]!.options });
    await stack.sql(`update longwatch.job set earlier_schedules = '[]', ended_due = date_trunc('minute', now()) - interval '3 days', settled_until = null`);
    const found = await node.activities.openJob({ job: 'stamina' });
    const next = nextTick(found.options, found, found.endedDue!, Date.now());
    expect(next).toMatchObject({ do: 'tick' });
    expect([3 * 24 * 60, 3 * 24 * 60 + 1]).toContain(next.do === 'tick' && next.tick.elapsed);
  }); // prettier-ignore
});
