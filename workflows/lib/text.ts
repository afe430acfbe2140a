/**
 * Text that PostgreSQL keeps: `text`, `json` and `jsonb` refuse a NUL character, UTF-8 has no half of a surrogate pair,
 * and an index entry has a size. Text that only tells something (errors, notes, names) is made keepable here, before it
 * is stored or sent; text that stands for something (keys, ids) is refused at the edge, by what `unstorable` says.
 */
import { utf8Bytes } from './size';

/** The length of an error's text, where nothing else is said. Bytes. */
export const ERROR_BYTES = 4_000;

const MARK = '\ufffd';
const REFUSED = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/**
 * The same text where it can be kept; else with a mark for each character that cannot, and cut to `limit` bytes of
 * UTF-8.
 */
export function storable(text: string, limit = Infinity): string {
  // No text has less bytes than characters, so the rest need not be looked at.
  const near = text.length > limit ? text.slice(0, limit + 1) : text;
  const whole = near.replace(REFUSED, MARK);
  if (text.length === near.length && (whole.length * 3 <= limit || utf8Bytes(whole) <= limit)) return whole;
  return cut(whole, limit);
}

/** The fault of a text that stands for something, as the end of a sentence; undefined: it has none. */
export function unstorable(text: string, limit = Infinity): string | undefined {
  if (text.includes('\0')) return 'has a NUL character';
  if (text.search(REFUSED) >= 0) return 'has half of a surrogate pair, which UTF-8 cannot say';
  const bytes = utf8Bytes(text);
  return bytes > limit ? `has ${bytes} bytes; at most ${limit} can be used` : undefined;
}

/** A string's escapes that jsonb refuses: NUL, and half of a surrogate pair (JSON.stringify escapes no whole ones). */
const ESCAPES = /\\(?:u0000|ud[89a-f][0-9a-f]{2}|.)/g;

/**
 * JSON text, as JSON.stringify writes it, for a column that decodes it: one such escape would fail the whole statement.
 */
export function storableJson(json: string): string {
  if (!json.includes('\\u0000') && !json.includes('\\ud')) return json;
  return json.replace(ESCAPES, (escape) => (escape.length === 6 ? '\\ufffd' : escape));
}

/** The message of whatever was thrown, as it is. */
export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The text that is stored of an error: its name and message. Takes whatever was thrown. */
export function errorText(thrown: unknown, limit = 500): string {
  try {
    if (thrown instanceof Error) return storable(`${String(thrown.name)}: ${String(thrown.message)}`, limit);
    return storable(`something was thrown that is not an error: ${String(thrown)}`, limit);
  } catch {
    return 'an error that cannot be put into words';
  }
}

const ELLIPSIS = '…';

/** As many whole characters as fit, and a sign that there were more. */
function cut(text: string, limit: number): string {
  const room = limit - utf8Bytes(ELLIPSIS);
  if (room < 0) return '';
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    bytes += utf8Bytes(character);
    if (bytes > room) break;
    end += character.length;
  }
  return text.slice(0, end) + ELLIPSIS;
}
