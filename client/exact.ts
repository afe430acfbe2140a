/**
 * Whole numbers that JSON can say and JavaScript cannot hold: past 2^53 two ids of 64 bits become one, which would be a silent merge. They are
 * refused where entries come in: by `parcels.ts` and by the command line (`cli/entry-input.ts`), which sees the text as it was typed.
 */

/** Texts first, so that what looks like a number in one is not taken for one. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const LONG = /\d{16}/;

/** The first whole number of a JSON text that is past what a number holds exactly. */
export function inexactNumber(json: string): string | undefined {
  // Nearly all have none: that is seen at a glance.
  if (!LONG.test(json)) return undefined;
  for (const [token] of json.matchAll(TOKENS)) {
    if (LONG.test(token) && /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token))) return token;
  }
  return undefined;
}

export const inexact = (number: string): string =>
  `${number} is above what a number can hold exactly; send it as text ("${number}")`;
