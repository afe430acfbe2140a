/**
 * A time as the library answers it: ISO 8601 in UTC, from the epoch milliseconds in which the database gives it; null
 * stays null. Used by all rooms of the client.
 */
export function iso(milliseconds: number): string;
export function iso(milliseconds: number | null): string | null;
export function iso(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString();
}
