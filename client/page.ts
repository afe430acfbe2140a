/**
 * Pages of long lists: what every list that the API, the page and the command line show in parts gives back, and the
 * cursor by which the next part is asked for. Used by the rooms' lists.
 */
import type { Json } from '../workflows/lib/json';
import { unstorable } from '../workflows/lib/text';
import { InvalidCursorError } from './errors';

/** One part of a list. */
export interface Page<T> {
  /** May have fewer than were asked for, also none, where `next` is not null: so much was looked through. */
  items: T[];
  /** Ask for what follows with it, as `after`. Null: that was all. */
  next: string | null;
}

/** Items of a page, where nothing else is said. */
const PAGE_ITEMS = 100;
/** The most that one page has. */
const MOST_ITEMS = 1_000;

/** The part of a list that is asked for. */
export interface PageOptions {
  /** A page's `next`. */
  after?: string;
  /** @default 100, at most 1,000 */
  limit?: number;
}

/**
 * A page of rows that were asked for with one more than it has, which says whether more follow.
 * @param place of a row in its list
 */
export function pageOf<R, T>(rows: readonly R[], size: number, item: (row: R) => T, place: (row: R) => Json): Page<T> {
  const items = rows.slice(0, size);
  return { items: items.map(item), next: rows.length > size ? cursorOf(place(items.at(-1)!)) : null };
}

/** How many items a page may have: as asked, within bounds. */
export function pageSize(asked: number | undefined): number {
  if (asked === undefined || !Number.isFinite(asked)) return PAGE_ITEMS;
  return Math.min(MOST_ITEMS, Math.max(1, Math.floor(asked)));
}

/** A place in a list as text that stands in an address as it is. */
export function cursorOf(place: Json): string {
  return Buffer.from(JSON.stringify(place), 'utf8').toString('base64url');
}

/**
 * The place that a cursor stands for.
 * @param isPlace whether it is one of this list
 * @throws InvalidCursorError for one that this list has not given
 */
export function placeOf<T>(cursor: string | undefined, isPlace: (value: unknown) => value is T): T | undefined {
  if (cursor === undefined) return undefined;
  let place: unknown;
  try {
    place = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursorError(cursor);
  }
  if (!isPlace(place)) throw new InvalidCursorError(cursor);
  return place;
}

// ── The parts of places ──

/** A time of the database, exact: microseconds since 1970. */
export const micros = (column: string): string => `(extract(epoch from ${column}) * 1000000)::bigint::float8`;

/** The time of a parameter that `micros` has given. */
export const timeOfMicros = (parameter: string): string =>
  `('epoch'::timestamptz + ${parameter}::float8 * interval '1 microsecond')`;

export const isMicros = (value: unknown): value is number => Number.isSafeInteger(value);

/** Text that PostgreSQL can be asked for. */
export const isText = (value: unknown): value is string => typeof value === 'string' && unstorable(value) === undefined;

/** A bigint, as text. */
export const isBigint = (value: unknown): value is string =>
  typeof value === 'string' && /^-?\d{1,19}$/.test(value) && BigInt.asIntN(64, BigInt(value)) === BigInt(value);
