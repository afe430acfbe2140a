/** Times and spans of time in milliseconds, for all floors and rooms. */
export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** The last moment that a JavaScript Date can tell, in milliseconds since 1970. PostgreSQL can store it. */
export const LAST_TIME = 8.64e15;
