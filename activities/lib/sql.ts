/** Pieces of SQL that several statements share, in the stores of `activities/` and the queries of `client/`. */

/** A time or an interval (a column, or an expression) as milliseconds, which the driver gives as a number. */
export const ms = (column: string): string => `(extract(epoch from ${column}) * 1000)::float8`;
