/**
 * Pages of long lists: what every list that the API, the page and the command line show in parts gives back, and the
 * cursor by which the next part is asked for. Used by the rooms' lists.
 */
import type { Json } from '../workflows/lib/json';
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
