/**
 * The history of a thing: its figures by the minute for a day, by the hour for a month, without Prometheus. Written by
 * the nodes (`activities/series`); read here for the page's charts and `longwatch history`. In columns, as charts want
 * them.
 */
import { added, type Figures } from '../activities/series/fold';
import { SERIES, STEP_MS, type SeriesKind, type Step } from '../activities/series/kinds';
import type { Statement } from '../activities/lib/database';
import { ms } from '../activities/lib/sql';
import { LATE_BOUNDS_MS, percentile } from '../activities/tracker/shift/lateness';
import type { Duration } from '../config/define/types';
import { parseDuration } from '../config/values';
import { unstorable } from '../workflows/lib/text';
import { readNow } from './clock';
import type { Connections } from './connections';
import { InvalidRangeError } from './errors';
import { isText, pageOf, pageSize, placeOf, type Page, type PageOptions } from './page';

export { SERIES_KINDS, type SeriesKind } from '../activities/series/kinds';

export interface SeriesOptions {
  /** @default an hour before `to` */
  from?: Date | string | number;
  /** @default now */
  to?: Date | string | number;
  /** The length of one point: whole minutes, or whole hours. @default so that there are 60 to 400 points */
  step?: Duration;
}

/** Kinds and figures, as the columns of {@link Series}. A figure with `Most` is the most that was seen. */
export interface Series {
  kind: SeriesKind;
  name: string;
  stepMs: number;
  /** The beginning of each point, epoch milliseconds. */
  at: number[];
  /** Seconds of each point that were counted; 0: nobody was there to count. */
  seconds: number[];
  /**
   * A column each: counts (`fetched`) are those of the point; figures that are looked at (`pending`) have their mean,
   * and their most under `pendingMost`. Null: not known. Operations have `lateP50Ms`, `lateP95Ms`, `lateMaxMs` too.
   */
  figures: Record<string, (number | null)[]>;
}

export interface SeriesPageOptions extends SeriesOptions, PageOptions {
  /** Only these. */
  names?: readonly string[];
  /** Only those whose names begin with it. */
  prefix?: string;
}

const ROWS: Statement = {
  name: 'client-series',
  text: `select ${ms('at')} as at, seconds, counts, look_sums as "lookSums", look_numbers as "lookNumbers", mosts, late
         from longwatch.series
         where step = $1 and kind = $2 and name = $3 and at >= to_timestamp($4::float8 / 1000)
           and at < to_timestamp($5::float8 / 1000)
         order by at`,
};

const NAMES: Statement = {
  name: 'client-series-names',
  text: 'select name from longwatch.series_total where kind = $1 order by name',
};

/** Behind $2. */
const NAMES_PAGE: Statement = {
  name: 'client-series-names-page',
  text: `select name from longwatch.series_total where kind = $1 and name > $2 and starts_with(name, $3)
         order by name limit $4`,
};
/** The same of names that were given: one whose thing is gone has rows for as long as they are kept. */
const GIVEN_PAGE: Statement = {
  name: 'client-series-given-page',
  text: `select distinct name from unnest($1::text[]) as given (name) where name > $2 and starts_with(name, $3)
         order by name limit $4`,
};

/** Each thing by itself in its index: of a day's rows only those that are asked for are read. */
export const ROWS_OF_ALL: Statement = {
  name: 'client-series-of-all',
  text: `select t.name, s.* from unnest($3::text[]) as t (name)
         cross join lateral (
           select ${ms('at')} as at, seconds, counts, look_sums as "lookSums", look_numbers as "lookNumbers", mosts, late
           from longwatch.series
           where step = $1 and kind = $2 and name = t.name and at >= to_timestamp($4::float8 / 1000)
             and at < to_timestamp($5::float8 / 1000)
           order by at offset 0
         ) s
         order by t.name, s.at`,
};

/** The years that PostgreSQL and JavaScript both write with four digits. */
const [EARLIEST_MS, LATEST_MS] = [Date.parse('0001-01-01T00:00:00Z'), Date.parse('9999-12-31T00:00:00Z')];
/** More points are in no chart. */
const MOST_POINTS = 2_000;
/** Points, where no step is asked for. */
const WANTED_POINTS = 180;
/** Steps that a chart is read by. */
const STEPS_MS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440].map((minutes) => minutes * STEP_MS.minute);
/** Minutes are kept for so long. */
const MINUTES_MS = 24 * STEP_MS.hour;
/** Rows that are held at once. */
const MOST_ROWS = 20_000;
/** Things of one page. */
const MOST_THINGS = 500;
/** Points of all things of one page, each with some ten figures: a few megabytes of JSON. */
const MOST_PAGE_POINTS = 50_000;
/** Rows of minutes that are read where nobody has asked for a step; those of hours do, where there would be more. */
const MOST_MINUTES = 200_000;

interface Row extends Figures {
  [column: string]: unknown;
  at: number;
}

interface Range {
  from: number;
  to: number;
  stepMs: number;
  rows: Step;
}

/** @throws InvalidRangeError */
export async function readSeries(
  connections: Connections,
  kind: SeriesKind,
  name: string,
  options: SeriesOptions = {},
): Promise<Series> {
  const range = await rangeOf(connections, options);
  const rows = await connections.read<Row>(ROWS, [range.rows, kind, name, range.from, range.to]);
  return seriesOf(kind, name, rows, range);
}

/** The same of all things of a kind, or of some, by their names: some of them at a time. @throws InvalidRangeError */
export async function readAllSeries(
  connections: Connections,
  kind: SeriesKind,
  { names: asked, ...options }: SeriesOptions & { names?: readonly string[] } = {},
): Promise<Series[]> {
  const known = asked ?? (await connections.read<{ name: string }>(NAMES, [kind])).map(({ name }) => name);
  const names = [...new Set(known)];
  return readOf(connections, kind, names, await rangeOf(connections, options, names.length));
}

/**
 * The same in parts, in the order of their names. A page is bounded in what it holds, so that it may have fewer things
 * than were asked for. @throws InvalidRangeError, InvalidCursorError
 */
export async function pageOfSeries(
  connections: Connections,
  kind: SeriesKind,
  { names: asked, prefix = '', after, limit, ...options }: SeriesPageOptions = {},
): Promise<Page<Series>> {
  const from = placeOf(after, isText) ?? '';
  const most = Math.min(MOST_THINGS, pageSize(limit));
  const range = await rangeOf(connections, options, Math.min(most, asked?.length ?? most));
  // No thing is called so.
  if (!isText(prefix)) return { items: [], next: null };
  const size = Math.max(1, Math.min(most, Math.floor(MOST_PAGE_POINTS / pointsOf(range))));
  const given = asked?.filter((name) => unstorable(name) === undefined);
  const statement = given ? GIVEN_PAGE : NAMES_PAGE;
  const rows = await connections.read<{ name: string }>(statement, [given ?? kind, from, prefix, size + 1]);
  const { items: found, next } = pageOf(rows, size, nameOf, nameOf);
  return { items: await readOf(connections, kind, found, range), next };
}

const nameOf = ({ name }: { name: string }): string => name;

/** Reads some of the things at a time. One that has no rows in the range is left out. */
async function readOf(
  connections: Connections,
  kind: SeriesKind,
  names: readonly string[],
  range: Range,
): Promise<Series[]> {
  const found: Series[] = [];
  const rowsOfOne = (range.to - range.from) / STEP_MS[range.rows];
  const atOnce = Math.max(1, Math.floor(MOST_ROWS / rowsOfOne));
  for (let first = 0; first < names.length; first += atOnce) {
    const values = [range.rows, kind, names.slice(first, first + atOnce), range.from, range.to];
    const byName = new Map<string, Row[]>();
    for (const row of await connections.read<Row & { name: string }>(ROWS_OF_ALL, values)) {
      const rows = byName.get(row.name);
      if (rows) rows.push(row);
      else byName.set(row.name, [row]);
    }
    found.push(...[...byName].map(([name, rows]) => seriesOf(kind, name, rows, range)));
  }
  return found;
}

async function rangeOf(connections: Connections, { from, to, step }: SeriesOptions, things = 1): Promise<Range> {
  return rangeAt(await readNow(connections), { from, to, step }, things);
}

const pointsOf = ({ from, to, stepMs }: Omit<Range, 'rows'>): number => (to - from) / stepMs;

/** The range that is asked for of so many things, on whole steps. @throws InvalidRangeError */
export function rangeAt(now: number, options: SeriesOptions, things = 1): Range {
  const to = timeOf('to', options.to) ?? now;
  const from = timeOf('from', options.from) ?? to - STEP_MS.hour;
  if (!(from < to)) throw new InvalidRangeError('`from` must be before `to`');
  const hasMinutes = from >= now - MINUTES_MS - STEP_MS.hour;
  const isMuch = options.step === undefined && things * ((to - from) / STEP_MS.minute) > MOST_MINUTES;
  const least = hasMinutes && !isMuch ? STEP_MS.minute : STEP_MS.hour;
  const stepMs = stepOf(options.step, least, to - from);
  const points = Math.ceil((to - from) / stepMs) + 1;
  if (points > MOST_POINTS)
    throw new InvalidRangeError(`${points} points were asked for, and ${MOST_POINTS} are the most: a longer step`);
  const rows: Step = stepMs % STEP_MS.hour === 0 ? 'hour' : 'minute';
  return { from: Math.floor(from / stepMs) * stepMs, to: Math.ceil(to / stepMs) * stepMs, stepMs, rows };
}

function timeOf(name: string, given: SeriesOptions['from']): number | undefined {
  if (given === undefined) return undefined;
  const time = typeof given === 'string' ? readTime(given) : Number(given);
  if (time >= EARLIEST_MS && time <= LATEST_MS) return time;
  throw new InvalidRangeError(`\`${name}\` must be a time, not '${String(given).slice(0, 100)}'`);
}

/** An address has epoch milliseconds as text. */
const readTime = (text: string): number => (/^\d{10,16}$/.test(text) ? Number(text) : Date.parse(text));

function stepOf(given: Duration | undefined, leastMs: number, spanMs: number): number {
  if (given === undefined) {
    const wanted = spanMs / WANTED_POINTS;
    return STEPS_MS.find((stepMs) => stepMs >= wanted && stepMs % leastMs === 0) ?? STEPS_MS.at(-1)!;
  }
  const stepMs = typeof given === 'number' ? given : parseDuration(given);
  if (stepMs === undefined || !(stepMs > 0) || stepMs % leastMs !== 0 || stepMs > 31 * MINUTES_MS) {
    const whole = leastMs === STEP_MS.hour ? 'hours: minutes are kept for a day' : 'minutes';
    throw new InvalidRangeError(`\`step\` must be whole ${whole}, not '${String(given).slice(0, 100)}'`);
  }
  return stepMs;
}

/** Rows put together into points; a point without any has nothing known. */
export function seriesOf(
  kind: SeriesKind,
  name: string,
  rows: readonly (Figures & { at: number })[],
  range: Omit<Range, 'rows'>,
): Series {
  const { from, stepMs } = range;
  const points = new Array<Figures | undefined>(Math.max(0, Math.round(pointsOf(range)))).fill(undefined);
  for (const row of rows) {
    const place = Math.floor((row.at - from) / stepMs);
    const there = points[place];
    if (place in points) points[place] = there ? added(there, row) : row;
  }
  const { counts, looks } = SERIES[kind];
  const figures: Series['figures'] = {};
  const column = (of: (point: Figures) => number | null | undefined): (number | null)[] =>
    points.map((point) => (point === undefined ? null : (of(point) ?? null)));
  counts.forEach((figure, i) => (figures[figure] = column((point) => point.counts[i])));
  looks.forEach((figure, i) => {
    figures[figure] = column((point) => (point.lookNumbers[i] ? point.lookSums[i]! / point.lookNumbers[i] : null));
    figures[`${figure}Most`] = column((point) => point.mosts[i]);
  });
  if (kind === 'operation') {
    figures.lateP50Ms = column(({ late }) => latenessOf(late, 0.5));
    figures.lateP95Ms = column(({ late }) => latenessOf(late, 0.95));
    figures.lateMaxMs = column(({ late }) => latenessOf(late, 1));
  }
  return {
    kind,
    name,
    stepMs,
    at: points.map((_, i) => from + i * stepMs),
    seconds: points.map((point) => point?.seconds ?? 0),
    figures,
  };
}

/** Within a fifth; JSON has no Infinity. */
function latenessOf(late: readonly number[], share: number): number | null {
  const bound = percentile(late, share);
  return bound === null ? null : Math.min(bound, LATE_BOUNDS_MS.at(-1)!);
}
