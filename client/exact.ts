/**
 * Numbers that would come to the shard as another value. Whole ones that JSON can say and JavaScript cannot hold: past
 * 2^53 two ids of 64 bits become one, which would be a silent merge. And those that JSON cannot say (NaN, Infinity):
 * they would be null. They are refused where entries come in: by `parcels.ts` and by the command line
 * (`cli/entry-input.ts`), which sees the text as it was typed. A number in powers (`1e21`) is a measure, and stays what
 * it is; -0 is 0.
 */

/** Texts first, so that what looks like a number in one is not taken for one. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const LONG = /\d{16}/;
/** Only such a power may be more than any number. */
const POWER = /[eE]\+?\d{3}/;

/**
 * The first number of a JSON text that a number does not hold: a whole one past what is exact, or one past all numbers.
 */
export function inexactNumber(json: string): string | undefined {
  // Nearly all have none: that is seen at a glance.
  if (!LONG.test(json) && !POWER.test(json)) return undefined;
  for (const [token] of json.matchAll(TOKENS)) {
    if (token.startsWith('"')) continue;
    if (LONG.test(token) && /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token))) return token;
    if (Math.abs(Number(token)) === Infinity) return token;
  }
  return undefined;
}

/** The number that JSON would turn into null, in a value whose JSON has a null. */
export function unsayable(value: unknown, json: string): string | undefined {
  if (!json.includes('null')) return undefined;
  let found: string | undefined;
  JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === 'number' && !Number.isFinite(one)) found ??= String(one);
    return one;
  });
  return found;
}

export const inexact = (number: string): string =>
  `${number} is above what a number can hold exactly; send it as text ("${number}")`;
