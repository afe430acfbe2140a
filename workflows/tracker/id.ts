/**
 * Says which ids can be tracked. Asked by the client, which refuses the others with the reason
 * (`client/tracker/ids.ts`), and by a pool for what others have signalled to it (`plan.ts`).
 */

/**
 * The longest id, UTF-16 code units; as UTF-8 at most three times as many bytes, which an index of PostgreSQL holds.
 */
const ID_LENGTH = 200;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Why an id cannot be tracked, or undefined when it can. */
export function idProblem(id: unknown): string | undefined {
  if (typeof id !== 'string') return `an id must be text, not ${id === null ? 'null' : typeof id}`;
  if (id.trim() === '') return 'the id is empty';
  if (id.length > ID_LENGTH) return `the id has ${id.length} characters, and ${ID_LENGTH} are the limit`;
  const control = CONTROL.exec(id);
  if (control) {
    const code = id.charCodeAt(control.index).toString(16).toUpperCase().padStart(4, '0');
    return `the id has a control character (U+${code}) at character ${control.index + 1}`;
  }
  if (/\p{Cs}/u.test(id)) return 'the id has half of a surrogate pair, which no database stores';
  return undefined;
}
