/**
 * The history as it is read: points of any length from rows of minutes and hours, bounded to what is asked for at a day
 * of 200 things; marks; lines of bars on the command line.
 */
import fc from 'fast-check';
import type { Figures } from '../../activities/series/fold';
import { meanOf, sparkline } from '../../cli/sparkline';
import type { Connections } from '../../client/connections';
import { InvalidCursorError, InvalidRangeError } from '../../client/errors';
import type { Longwatch } from '../../client/longwatch';
import { ACTS } from '../../client/marks';
import { cursorOf } from '../../client/page';
import { rangeAt, ROWS_OF_ALL, seriesOf, type SeriesPageOptions } from '../../client/series';
import { runCli } from '../support/cli';
import { writeTracker } from '../support/node-rows';
import { histories } from '../support/simulate';
import { Stack } from '../support/stack';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NOW = Date.parse('2026-01-01T12:00:30Z');

describe('the range', () => {
  test('an hour of minutes, unless something else is asked for', () => {
    const { from, to, stepMs, rows } = rangeAt(NOW, {});
    expect({ stepMs, rows }).toEqual({ stepMs: MINUTE, rows: 'minute' });
    expect([from, to]).toEqual([Date.parse('2026-01-01T11:00:00Z'), Date.parse('2026-01-01T12:01:00Z')]);
  });

  test.each([
    [{ from: NOW - 6 * HOUR }, 2 * MINUTE, 'minute'],
    [{ from: NOW - 24 * HOUR }, 10 * MINUTE, 'minute'],
    [{ from: NOW - 7 * 24 * HOUR }, HOUR, 'hour'],
    [{ from: NOW - 31 * 24 * HOUR }, 6 * HOUR, 'hour'],
    [{ from: NOW - 2 * HOUR, step: '1h' as const }, HOUR, 'hour'],
    [{ from: String(NOW - 6 * HOUR), to: String(NOW) }, 2 * MINUTE, 'minute'],
  ])('%j has points of %d ms', (options, stepMs, rows) => {
    expect(rangeAt(NOW, options)).toMatchObject({ stepMs, rows });
  });

  test.each([
    [{ from: 'yesterday' }],
    [{ from: NOW, to: NOW }],
    [{ from: NOW + 1 }],
    [{ from: NaN }],
    [{ step: '90s' as const }],
    [{ step: '0s' as const }],
    [{ step: 'soon' as never }],
    [{ from: NOW - 48 * HOUR, step: '5m' as const }],
    [{ from: 0, step: '1h' as const }],
    [{ from: '-271821-04-20' }],
    [{ from: '99999999999999999' }],
    // Years that PostgreSQL does not have.
    [{ from: '-100000-01-01', to: '-099999-06-01' }],
    [{ from: '+200000-01-01', to: '+200001-06-01' }],
  ])('%j cannot be asked for', (options) => {
    expect(() => rangeAt(NOW, options)).toThrow(InvalidRangeError);
  });
});

test('points have all that the rows have, whatever the step; what nobody counted is not known', () => {
  const row = fc.record({ minute: fc.nat(119), fetched: fc.nat(100), look: fc.option(fc.nat(100)), late: fc.nat(3) });
  const rows = fc.uniqueArray(row, { selector: ({ minute }) => minute });
  fc.assert(
    fc.property(rows, fc.constantFrom(1, 2, 5, 15, 60), (given, minutes) => {
      const from = NOW - (NOW % HOUR);
      const made = given.map(({ minute, fetched, look, late }): Figures & { at: number } => ({
        ...{ at: from + minute * MINUTE, seconds: 60, counts: [fetched, 0, 0], late: [late] },
        ...{ lookSums: [look ?? 0], lookNumbers: [look === null ? 0 : 1], mosts: [look] },
      }));
      const series = seriesOf('operation', 't/look', made, { from, to: from + 2 * HOUR, stepMs: minutes * MINUTE });
      const { fetched, ageP50Ms, ageP50MsMost, lateMaxMs } = series.figures;
      const total = (values: (number | null)[]): number => values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
      expect(series.at).toHaveLength(120 / minutes);
      expect(total(fetched!)).toBe(given.reduce((sum, one) => sum + one.fetched, 0));
      expect(total(series.seconds)).toBe(given.length * 60);
      series.at.forEach((at, i) => {
        const here = given.filter(({ minute }) => Math.floor(minute / minutes) === i);
        expect(fetched![i]).toBe(here.length === 0 ? null : here.reduce((sum, one) => sum + one.fetched, 0));
        const looks = here.flatMap(({ look }) => (look === null ? [] : [look]));
        expect(ageP50MsMost![i]).toBe(looks.length === 0 ? null : Math.max(...looks));
        if (looks.length > 0) expect(ageP50Ms![i]).toBeCloseTo(looks.reduce((sum, one) => sum + one, 0) / looks.length);
        expect(lateMaxMs![i]).toBe(here.some(({ late }) => late > 0) ? 1 : null);
        expect(at).toBe(from + i * minutes * MINUTE);
      });
    }),
    histories(200),
  );
});

test('a line of bars is as wide as it may be, the most is full, nothing is lowest, and gaps are gaps', () => {
  const values = fc.array(fc.option(fc.double({ min: 0, max: 1e9, noNaN: true })), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 80 }), (given, width) => {
      const line = sparkline(given, width);
      expect(line).toHaveLength(Math.min(width, given.length));
      expect(line).toMatch(/^[ ▁▂▃▄▅▆▇█]*$/);
      if (given.length > width) return;
      const most = Math.max(0, ...given.map((value) => value ?? 0));
      [...line].forEach((bar, i) => {
        expect(bar === ' ').toBe(given[i] === null);
        if (given[i] === 0) expect(bar).toBe('▁');
        if (most > 0 && given[i] === most) expect(bar).toBe('█');
      });
    }),
    histories(300),
  );
  expect(meanOf([])).toBeNull();
});

describe('on the real PostgreSQL', () => {
  let stack: Stack;
  let longwatch: Longwatch;
  const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);
  const THINGS = 200;

  beforeAll(async () => {
    stack = await Stack.start();
    longwatch = await stack.connect();
    await writeTracker(sql, 'things', 1);
    // A day of 200 things, by the minute.
    await sql(
      `insert into longwatch.series_total (kind, name, totals, late)
       select 'operation', 'things/' || case when i = 1 then 'look' else 'op' || i end, '{0,0,0}', '{}'
       from generate_series(1, $1::int) i`,
      [THINGS],
    );
    await sql(
      `insert into longwatch.series (step, kind, name, at, seconds, counts, look_sums, look_numbers, mosts, late)
       select 'minute', 'operation', name, date_trunc('minute', now()) - m * interval '1 minute', 60,
              array[600 + m, m % 2, 0], '{5,50,90,3,0}', '{1,1,1,1,1}', '{5,50,90,3,0}', '{0,0,5,600}'
       from longwatch.series_total, generate_series(1, 1440) m`,
    );
    await sql('vacuum analyze longwatch.series');
  });
  afterAll(() => stack?.close());

  const touchedBy = async (statement: { text: string }, values: unknown[]) => {
    interface Plan {
      'Actual Rows': number;
      'Actual Loops': number;
      'Rows Removed by Filter'?: number;
      Plans?: Plan[];
    }
    const touched = (plan: Plan): number =>
      Math.max(
        (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'],
        ...(plan.Plans ?? []).map(touched),
      );
    const [row] = await sql(`explain (analyze, format json) ${statement.text}`, values);
    return touched((row!['QUERY PLAN'] as [{ Plan: Plan }])[0].Plan);
  };
  const planned = (kind: string, from: number, names: string[]) =>
    touchedBy(ROWS_OF_ALL, ['minute', kind, names, Date.now() - from, Date.now()]);

  test('only the rows that are asked for are read of 288,000', async () => {
    const all = await sql(`select name from longwatch.series_total`);
    const names = all.map(({ name }) => name as string);
    expect(await planned('operation', HOUR, names)).toBeLessThanOrEqual(THINGS * 61);
    expect(await planned('operation', 24 * HOUR, ['things/look'])).toBeLessThanOrEqual(1_441);
    expect(await planned('job', 24 * HOUR, ['none'])).toBeLessThanOrEqual(1);
  });

  test('of many things not all rows are held at once, and of a day of too many the hours are read', async () => {
    const connections = (longwatch as unknown as { connections: Connections }).connections;
    const read = jest.spyOn(connections, 'read');
    await longwatch.allSeries('operation', { from: Date.now() - 6 * HOUR, step: '10m' });
    const sizes = await Promise.all(read.mock.results.map(async ({ value }) => ((await value) as unknown[]).length));
    read.mockRestore();
    expect(Math.max(...sizes)).toBeLessThanOrEqual(20_000);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(THINGS * 350);
    expect(rangeAt(NOW, { from: NOW - 24 * HOUR }, 200)).toMatchObject({ rows: 'hour', stepMs: HOUR });
    expect(rangeAt(NOW, { from: NOW - 24 * HOUR, step: '10m' }, 200)).toMatchObject({ rows: 'minute' });
    expect(rangeAt(NOW, { from: NOW - 6 * HOUR }, 200)).toMatchObject({ rows: 'minute' });
  });

  describe('in pages', () => {
    const walked = async (options: SeriesPageOptions): Promise<{ names: string[]; mostPoints: number }> => {
      const names: string[] = [];
      let mostPoints = 0;
      for (let after: string | undefined; ;) {
        const { items, next } = await longwatch.seriesPage('operation', { ...options, after });
        names.push(...items.map(({ name }) => name));
        mostPoints = Math.max(
          mostPoints,
          items.reduce((sum, { at }) => sum + at.length, 0),
        );
        if (next === null) return { names, mostPoints };
        after = next;
      }
    };

    test('each thing once, in the order of their names', async () => {
      const all = (await sql(`select name from longwatch.series_total order by name`)).map(({ name }) => name);
      for (const limit of [undefined, 1_000, 60]) expect((await walked({ limit })).names).toEqual(all);
      expect((await longwatch.seriesPage('operation')).items).toHaveLength(100);
    });

    test('a page is bounded in what it holds, however many points each thing has', async () => {
      const from = Date.now() - 24 * HOUR;
      const { names, mostPoints } = await walked({ from, step: '1m', limit: 500 });
      expect(new Set(names).size).toBe(THINGS);
      expect(mostPoints).toBeLessThanOrEqual(50_000);
      expect(mostPoints).toBeGreaterThan(40_000);
    });

    test('by the beginning of their names, or by the names themselves, one that nobody has among them', async () => {
      const some = (await walked({ prefix: 'things/op19', limit: 3 })).names;
      expect(some).toEqual(['things/op19', ...Array.from({ length: 10 }, (_, i) => `things/op19${i}`)]);
      expect((await walked({ prefix: '%' })).names).toEqual([]);
      expect((await walked({ prefix: '\0' })).names).toEqual([]);
      const names = ['things/op7', 'none', 'things/look', 'things/op7', 'a\0b', '\ud800'];
      expect((await walked({ names, limit: 1 })).names).toEqual(['things/look', 'things/op7']);
      expect((await walked({ names: [] })).names).toEqual([]);
    });

    test.each(['', 'rubbish', cursorOf(7), cursorOf(['a']), cursorOf('a\0')])('%j is not a cursor', async (after) => {
      await expect(longwatch.seriesPage('operation', { after })).rejects.toThrow(InvalidCursorError);
    });
  });

  test('a thing that is gone is found by its name for as long as its rows are kept', async () => {
    await sql(
      `insert into longwatch.series (step, kind, name, at, seconds, counts, look_sums, look_numbers, mosts, late)
       values ('hour', 'node', 'gone', date_trunc('hour', now()) - interval '3 days', 3600, '{}',
               '{4,0,0,0,0,0,0,0,0}', '{1,1,1,1,1,1,1,1,1}', '{4,0,0,0,0,0,0,0,0}', '{}')`,
    );
    const { out } = await runCli(stack, 'history', 'gone', '--last', '7d');
    expect(out).toMatch(/^node gone\nfigure/);
  });

  test('an operation of a tracker is no buffer of the same name', async () => {
    await sql(`insert into longwatch.tracker (name, options, pools)
               select 'both', options, 1 from longwatch.tracker where name = 'things'`);
    await sql(
      `insert into longwatch.series (step, kind, name, at, seconds, counts, look_sums, look_numbers, mosts, late)
       values ('minute', 'buffer', 'both', date_trunc('minute', now()) - interval '5 minutes', 60, '{1,1,0,0}',
               '{0,0,0,0}', '{1,1,1,1}', '{0,0,0,0}', '{}')`,
    );
    expect((await runCli(stack, 'history', 'both')).out).toMatch(/^buffer both/);
    expect((await runCli(stack, 'history', 'both', '--operation', 'look')).out).toMatch(/^nothing is written of/);
  });

  test('a thing, all things of a kind, and one that nobody knows', async () => {
    const day = await longwatch.series('operation', 'things/look', { from: Date.now() - 24 * HOUR });
    expect(day.stepMs).toBe(10 * MINUTE);
    const fetched = day.figures.fetched!.reduce<number>((sum, value) => sum + (value ?? 0), 0);
    expect(fetched).toBeGreaterThan(1_400 * 600);
    expect(day.figures.lateP95Ms!.some((late) => late !== null && late > 1)).toBe(true);
    expect(await longwatch.allSeries('operation', { from: Date.now() - HOUR })).toHaveLength(THINGS);
    const nothing = await longwatch.series('buffer', 'none');
    expect(nothing.figures.pending!.every((value) => value === null)).toBe(true);
  });

  test('on the command line', async () => {
    const { out, status } = await runCli(stack, 'history', 'things', '--operation', 'look', '--last', '2h');
    expect(status).toBe(0);
    expect(out).toMatch(/^operation things\/look\nfigure .*a point is 1 min\nfetched\/s +10(\.\d+)? .*[▇█]/);
    await writeTracker(sql, 'fresh', 1);
    for (const known of ['fresh', 'fresh/look'])
      expect((await runCli(stack, 'history', known)).out).toMatch(/^nothing is written of 'fresh.*' yet/);
    const { series } = JSON.parse((await runCli(stack, 'history', 'things/look', '--json')).out) as {
      series: unknown[];
    };
    expect(series).toHaveLength(1);
    for (const wrong of [
      ['things', '--last', 'x'],
      ['things', '--last', '5'],
      ['nothing'],
      ['nothing', '--json'],
      ['nothing/look'],
      ['things', '--kind', 'bufer'],
      ['things', '--operation', 'lok'],
      ['box', '--operation', 'look'],
      ['things', '--step', '7s'],
    ])
      expect([wrong, (await runCli(stack, 'history', ...wrong)).status]).toEqual([wrong, 2]);
  });

  test('marks: what was done, and which processes began, in their order', async () => {
    // The migration has left a row.
    await sql('truncate longwatch.audit');
    await sql(
      `insert into longwatch.audit (at, actor, via, what, subject, outcome)
       values (now() - interval '30 minutes', 'ann', 'cli', 'pause', 'tracker/things', 'done'),
              (now() - interval '20 minutes', 'ann', 'cli', 'pause', 'tracker/things', 'unchanged'),
              (now() - interval '10 minutes', 'bob', 'http', 'resume', 'tracker/things', null),
              (now() - interval '3 hours', 'ann', 'cli', 'stop', 'tracker/things', 'done')`,
    );
    await sql(
      `insert into longwatch.node_start (node, incarnation, at, host, after_crash)
       values ('a', 1, now() - interval '25 minutes', 'h', false), ('a', 2, now() - interval '5 minutes', 'h', true)`,
    );
    const marks = await longwatch.marks();
    expect(marks.map(({ kind, text, subject, actor }) => [kind, text, subject, actor])).toEqual([
      ['act', 'pause', 'tracker/things', 'ann'],
      ['start', 'node a', 'node/a', null],
      ['act', 'resume', 'tracker/things', 'bob'],
      ['restart', 'node a', 'node/a', null],
    ]);
    await expect(longwatch.marks({ from: 'x' })).rejects.toThrow(InvalidRangeError);
  });

  test('of very many commands the newest are looked through for marks', async () => {
    await sql('truncate longwatch.audit');
    await sql(
      `insert into longwatch.audit (at, actor, via, what, subject, outcome)
       select now() - interval '5 minutes' - (30000 - i) * interval '10 minutes', 'ann', 'cli', 'pause', 'tracker/things', 'done'
       from generate_series(1, 30000) i`,
    );
    await sql('analyze longwatch.audit');
    expect(await touchedBy(ACTS, [Date.now() - HOUR, Date.now(), 200])).toBeLessThanOrEqual(10_000);
    expect((await longwatch.marks()).filter(({ kind }) => kind === 'act')).toHaveLength(6);
  });
});
