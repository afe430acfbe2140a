/**
 * When an hour, day, week or month of a time zone begins, for limits of a calendar window ('1,000 a day from midnight
 * in New York'). Pure. Called while a limit's options are resolved; the ledger asks the function at each statement.
 */

export type Period = 'hour' | 'day' | 'week' | 'month';

/**
 * The start, in epoch seconds, of the period that an epoch second lies in, as a function of that second. Weeks begin on
 * Monday. A day without a midnight (clocks go forward over it) begins with its first moment; an hour that comes twice
 * counts from the first time.
 * @throws RangeError where the zone does not exist
 */
export function windowStart(period: Period, zone: string): (at: number) => number {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    weekday: 'short',
  });
  const labelAt = (at: number): string => label(format, period, at);
  let last = { from: Infinity, until: -Infinity };
  return (at) => {
    if (at < last.from || at >= last.until) last = bounds(labelAt, period, at);
    return last.from;
  };
}

/** Seconds of the longest period of a name, with an hour more for the end of summer time. */
const LONGEST: Record<Period, number> = { hour: 7_200, day: 90_000, week: 608_400, month: 2_682_000 };
/** Zones change their offset at whole quarters of an hour, so a period begins at one. */
const STEP = 900;

/**
 * Two moments of one period have one label. A label changes once, so a bisection over quarters of an hour finds where.
 */
function bounds(labelAt: (at: number) => string, period: Period, at: number): { from: number; until: number } {
  const here = labelAt(at);
  const quarter = Math.floor(at / STEP);
  const reach = Math.ceil(LONGEST[period] / STEP);
  const first = firstWhere(quarter - reach, quarter, (q) => labelAt(q * STEP) === here);
  const end = firstWhere(quarter, quarter + reach, (q) => labelAt(q * STEP) !== here);
  return { from: first * STEP, until: end * STEP };
}

/** The least whole number of (from, until] for which it is true; it is false before and true from there on. */
function firstWhere(from: number, until: number, isTrue: (n: number) => boolean): number {
  let [no, yes] = [from, until];
  while (yes - no > 1) {
    const middle = Math.floor((no + yes) / 2);
    if (isTrue(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

function label(format: Intl.DateTimeFormat, period: Period, at: number): string {
  const parts = Object.fromEntries(format.formatToParts(at * 1_000).map(({ type, value }) => [type, value]));
  const { year, month, day, hour, weekday } = parts as Record<string, string>;
  switch (period) {
    case 'hour':
      return `${year}-${month}-${day} ${hour}`;
    case 'day':
      return `${year}-${month}-${day}`;
    case 'month':
      return `${year}-${month}`;
    case 'week': {
      // The week is named by its Monday, a date without a zone.
      const date = Date.UTC(Number(year), Number(month) - 1, Number(day)) / 86_400_000;
      return String(date - DAYS.indexOf(weekday!));
    }
  }
}
