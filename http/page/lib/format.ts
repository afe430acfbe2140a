/**
 * Figures in the form in which people read them: short, and always in the same form, so that columns line up. Pure and
 * without the browser; used by every page. The forms of times are those of the command line (`850 ms`, `4.2 s`).
 */

/** `1,234,567`. */
export function count(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : '—';
}

/** `1,234`, `12.3k`, `4.56M`: at most five characters. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '—';
  const size = Math.abs(value);
  if (size < 10 && !Number.isInteger(value)) return value.toFixed(1);
  if (size < 10_000) return count(value);
  for (const [from, unit] of UNITS) if (size >= from) return `${trimmed(value / from)}${unit}`;
  return count(value);
}

const UNITS: readonly (readonly [number, string])[] = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

const trimmed = (value: number): string => value.toFixed(Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0);

/** `850 ms`, `4.2 s`, `3 min`, `2 h`, `5 d`. Null: it is not known. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return '—';
  // The library writes its largest number for 'above the last bucket'.
  if (ms > 1e15) return '> 90 s';
  const size = Math.abs(ms);
  if (size < 1_000) return `${Math.round(ms)} ms`;
  if (size < 60_000) return `${Number((ms / 1_000).toFixed(1))} s`;
  if (size < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (size < 172_800_000) return `${Number((ms / 3_600_000).toFixed(1))} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}

/** `12 s ago`, `in 3 min`; `now` within a second. */
export function ago(at: string | null | undefined, now: number): string {
  if (!at) return '—';
  const ms = now - Date.parse(at);
  if (Number.isNaN(ms)) return '—';
  if (Math.abs(ms) < 1_000) return 'now';
  return ms > 0 ? `${duration(coarse(ms))} ago` : `in ${duration(coarse(-ms))}`;
}

/** `3 min`: how long it is until then. */
export function left(at: string, now: number): string {
  return duration(coarse(Math.max(0, Date.parse(at) - now)));
}

/** Whole seconds: an age that changes its tenth each second is noise. */
const coarse = (ms: number): number => (ms < 60_000 ? Math.floor(ms / 1_000) * 1_000 : ms);

/** `2026-11-29 14:03:05`, in the reader's time zone. */
export function time(at: string | number | null | undefined): string {
  if (at === null || at === undefined) return '—';
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return '—';
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clock(date)}`;
}

/** `14:03:05`. */
export function clock(date: Date): string {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
}

/** `1 pool`, `2 pools`. */
export function plural(value: number, noun: string, nouns = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : nouns}`;
}

/** `1 entry becomes`, `2 entries become`. */
export const verb = (value: number, one: string, many: string): string => (value === 1 ? one : many);

/** `34 %`. */
export function percent(share: number): string {
  return `${share > 0 && share < 0.01 ? '< 1' : Math.round(share * 100)} %`;
}

/** `1,013/s`; below one, the time between two: `every 20 s`. */
export function rate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined || !Number.isFinite(perSecond)) return '—';
  if (perSecond === 0) return '0/s';
  if (perSecond < 0.1) return `${Number((perSecond * 60).toFixed(1))}/min`;
  return `${short(perSecond)}/s`;
}

/**
 * A text out of somebody's data, as it is shown: control characters and those that turn the direction of what follows
 * are made visible, and it has an end. The whole text stands in a title or on the page of its thing.
 */
export function shown(text: string, most = 200): string {
  const plain = cut(text, most).replace(
    UNSEEN,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const short = cut(plain, most);
  return short === plain && text.length <= most ? plain : `${short}…`;
}

/** Never between the halves of one character. */
function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  const isHalf = HIGH.test(text[most - 1] ?? '') && LOW.test(text[most] ?? '');
  return text.slice(0, isHalf ? most - 1 : most);
}

const HIGH = /[\ud800-\udbff]/;
const LOW = /[\udc00-\udfff]/;

/** Controls but for tab and line feed; marks and overrides of direction; what has no width; halves of a character. */
const UNSEEN =
  // eslint-disable-next-line no-control-regex -- these are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** JSON as it is shown: indented, and cut where it is longer than a page. */
export function json(value: unknown, most = 20_000): string {
  const text = JSON.stringify(value, null, 2) ?? 'null';
  return shown(text, most);
}
