/** Anything that JSON can say. Named here once for every floor. */

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
