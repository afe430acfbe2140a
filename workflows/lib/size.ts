/**
 * How many bytes a text or a value takes where a limit is met: JSON as UTF-8, with its escapes. Pure, for workflow code
 * as well, which has no Buffer. Called by whatever bounds what it carries, sends or stores; the figure goes into the
 * state that is carried.
 */

const BEYOND_ASCII = /[\u0080-\uffff]/;

/** Bytes of a text as UTF-8; half a surrogate pair becomes the replacement character, of three. */
export function utf8Bytes(text: string): number {
  // Most texts are ASCII, and the engine looks faster than a loop does.
  if (!BEYOND_ASCII.test(text)) return text.length;
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) continue;
    if (code < 0x800) {
      bytes += 1;
    } else if (code >= 0xd800 && code < 0xdc00 && isLow(text.charCodeAt(i + 1))) {
      // Two units of the text, four bytes.
      bytes += 2;
      i++;
    } else {
      bytes += 2;
    }
  }
  return bytes;
}

/** Past the end of a text it is NaN, which is not a half. */
const isLow = (code: number): boolean => code >= 0xdc00 && code < 0xe000;

/**
 * Bytes of a value as JSON in UTF-8; 0 where it is none, as `undefined` is. @throws TypeError for what JSON refuses (a
 * cycle, a BigInt).
 */
export function jsonBytes(value: unknown): number {
  const json = JSON.stringify(value) as string | undefined;
  return json === undefined ? 0 : utf8Bytes(json);
}
