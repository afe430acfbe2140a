/**
 * Text that may go to a terminal. Data (keys, upstreams' errors, notes) may hold escape sequences that
 * rewrite the screen or set the clipboard, and marks that turn the direction of writing. Used by all that prints:
 * `output.ts`, `main.ts`.
 */

/**
 * C0 but tab and line feed, DEL and C1, the marks of direction, the separators of lines, and the mark of byte order.
 */
const CONTROLS =
  // eslint-disable-next-line no-control-regex -- those are what it is about
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
/** The same in the text of JSON, where C0 is written as an escape already. */
const RAW_IN_JSON = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff]/g;

/** For a block of lines: everything that a terminal would obey is replaced, but the ends of its lines. */
export const plain = (text: string): string => text.replace(CONTROLS, '\ufffd');

/** For a piece of data within a line, which must not look like lines of ours. */
export const inline = (text: string): string => plain(text.replace(/\r\n|[\n\r\t]/g, ' '));

/** JSON of the same value, written so that a terminal obeys nothing of it. */
export const plainJson = (json: string): string =>
  json.replace(RAW_IN_JSON, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** A line of the log, which is JSON, for a reader that turns its escapes into what they stand for (pino-pretty). */
export const plainLogLine = (line: string): string =>
  plain(
    line.replace(/\\\\|\\[bfr]|\\u([0-9a-f]{4})/gi, (escape, code?: string) =>
      escape === '\\\\' || (code !== undefined && plain(String.fromCharCode(parseInt(code, 16))) !== '\ufffd')
        ? escape
        : '\ufffd',
    ),
  );
