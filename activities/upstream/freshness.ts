/**
 * How long an answer is fresh, by RFC 9111 as a private cache reads it: `max-age` before `Expires`, less the `Age` that
 * it came with; nothing for `no-cache` and `no-store`. Called by `call.ts` for each answer; the run's `expiresAt` comes
 * from here.
 *
 * `Expires` counts from the `Date` of the same answer, so neither the server's clock nor that of another edge matters.
 * `Date` is cut to the second, hence a lifetime is up to a second too long and never too short: asking early may be
 * taken as going round the cache.
 */

/**
 * The header fields that say it. The first counts of a field that came twice; but the lines of `cacheControl` are one
 * list.
 */
export interface FreshnessHeaders {
  cacheControl: string | undefined;
  expires: string | undefined;
  date: string | undefined;
  age: string | undefined;
  vary: string | undefined;
}

/** Stands for more seconds than a cache can count (RFC 9111, 1.2.2): 68 years. */
const MOST_SECONDS = 2 ** 31;

/** Milliseconds from `now` until the answer is stale; undefined: it does not say, or it is stale already. */
export function freshForMs(headers: FreshnessHeaders, now: number): number | undefined {
  const { vary } = headers;
  // Nothing matches such an answer but a new one (4.1).
  if (vary !== undefined && vary.includes('*') && vary.split(',').some((name) => name.trim() === '*')) return undefined;
  const lifetime = lifetimeMs(headers, now);
  if (lifetime === undefined) return undefined;
  const left = lifetime - ageSeconds(headers.age) * 1_000;
  return left > 0 ? left : undefined;
}

function lifetimeMs({ cacheControl, expires, date }: FreshnessHeaders, now: number): number | undefined {
  const said = cacheControl === undefined ? SILENT : readCacheControl(cacheControl);
  if (said.forbids) return undefined;
  if (said.maxAge !== undefined) return said.maxAge === 'invalid' ? undefined : said.maxAge * 1_000;
  if (expires === undefined) return undefined;
  // `Expires: 0` and everything else that is not an HTTP date means a time that is over (5.3).
  const until = httpDate(expires, now);
  if (until === undefined) return undefined;
  return until - ((date === undefined ? undefined : httpDate(date, now)) ?? now);
}

/** The first member of a list counts; anything that is not a number is ignored (5.1). */
function ageSeconds(age: string | undefined): number {
  const first = age === undefined ? null : /^[ \t]*(\d+)[ \t]*(?:,|$)/.exec(age);
  return first ? Math.min(Number(first[1]), MOST_SECONDS) : 0;
}

interface CacheControl {
  /** Seconds; of two, the first (4.2.1). Anything that is not a number of seconds makes the answer stale. */
  maxAge: number | 'invalid' | undefined;
  /** It has `no-cache` or `no-store`. */
  forbids: boolean;
}

const SILENT: CacheControl = { maxAge: undefined, forbids: false };

/** Most answers of an upstream have the same. */
let lastText = '';
let lastRead = SILENT;

function readCacheControl(text: string): CacheControl {
  if (text === lastText) return lastRead;
  let maxAge: CacheControl['maxAge'];
  let forbids = false;
  // Parts stand between commas that are not within quotes. (A semicolon is wrong there, and often seen.)
  for (const part of text.match(/(?:[^,;"]|"(?:[^"\\]|\\.)*"?)+/g) ?? []) {
    const equals = part.indexOf('=');
    const name = (equals < 0 ? part : part.slice(0, equals)).trim().toLowerCase();
    // With names of fields it forbids only those; like most caches we take it for the whole (5.2.2.4).
    if (name === 'no-cache' || name === 'no-store') forbids = true;
    if (name === 'max-age' && maxAge === undefined) {
      const value = /^\s*("?)(\d+)\1\s*$/.exec(equals < 0 ? '' : part.slice(equals + 1));
      maxAge = value ? Math.min(Number(value[2]), MOST_SECONDS) : 'invalid';
    }
  }
  lastText = text;
  lastRead = { maxAge, forbids };
  return lastRead;
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
/** Sun, 06 Nov 1994 08:49:37 GMT */
const IMF_FIXDATE = /^[a-z]{3}, (\d{1,2}) ([a-z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d) gmt$/;
/** Sunday, 06-Nov-94 08:49:37 GMT; also with a year of four digits, as cookies have it. */
const RFC_850 = /^[a-z]{3,9}, (\d{1,2})-([a-z]{3})-(\d{4}|\d\d) (\d\d):(\d\d):(\d\d) gmt$/;
/** Sun Nov  6 08:49:37 1994. It names no zone and is GMT all the same. */
const ASCTIME = /^[a-z]{3} ([a-z]{3}) ( \d|\d\d) (\d\d):(\d\d):(\d\d) (\d{4})$/;

/** Epoch milliseconds of one of the three forms of RFC 9110, 5.6.7, in any case; undefined for all else. */
export function httpDate(text: string, now: number): number | undefined {
  const lower = text.trim().toLowerCase();
  let match = IMF_FIXDATE.exec(lower);
  if (match) return timeOf(match[3]!, match[2]!, match[1]!, match, 4, now);
  match = RFC_850.exec(lower);
  if (match) return timeOf(match[3]!, match[2]!, match[1]!, match, 4, now);
  match = ASCTIME.exec(lower);
  if (match) return timeOf(match[6]!, match[1]!, match[2]!, match, 3, now);
  return undefined;
}

function timeOf(
  yearText: string,
  monthText: string,
  dayText: string,
  match: RegExpExecArray,
  clock: number,
  now: number,
): number | undefined {
  const month = MONTHS.indexOf(monthText);
  const day = Number(dayText);
  const [hour, minute, second] = [Number(match[clock]), Number(match[clock + 1]), Number(match[clock + 2])];
  let year = Number(yearText);
  if (yearText.length === 2) {
    // More than fifty years ahead is the latest year before now that ends so.
    const thisYear = new Date(now).getUTCFullYear();
    year += thisYear - (thisYear % 100);
    if (year > thisYear + 50) year -= 100;
  }
  // 60 is a leap second.
  if (month < 0 || hour > 23 || minute > 59 || second > 60) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  // The 31st of a month that has thirty.
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return undefined;
  return date.setUTCHours(hour, minute, second);
}
