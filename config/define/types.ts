/** Types that every definition uses. */

/** A duration: `'500ms'`, `'1s'`, `'10m'`, `'1d'`, or a number of milliseconds. */
export type Duration = string | number;
