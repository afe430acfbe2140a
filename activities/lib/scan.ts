/**
 * A user's SQL, piece by piece, as PostgreSQL's scanner reads it: what is code, and what is a string, a quoted name or
 * a comment. Enough to find placeholders, parameters and the names of functions; what it means is PostgreSQL's
 * business. Used for the SQL of jobs (`job/template.ts`, `job/check.ts`) and of handlers (`durable/not-yours.ts`).
 */

export interface Piece {
  kind: 'word' | 'quoted' | 'string' | 'comment' | 'parameter' | 'placeholder' | 'cast' | 'space' | 'other';
  text: string;
  at: number;
  /** The name of a placeholder: `elapsed`, `due` or `range`; and the alias that a range is given. */
  name?: string;
  alias?: string;
}

const SPACE = /\s+/y;
const WORD = /[\p{L}_][\p{L}\p{N}_$]*/uy;
const NUMBER = /\d[\w.]*/y;
const QUOTED = /"(?:[^"]|"")*(?:"|$)/y;
const STRING = /'(?:[^']|'')*(?:'|$)/y;
/** After an E: a backslash takes the next character with it. */
const ESCAPED = /'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)/y;
/** Ended by either of them. */
const LINE = /--[^\n\r]*/y;
const PARAMETER = /\$\d+/y;
const DOLLAR = /\$([\p{L}_][\p{L}\p{N}_]*)?\$/uy;
const PLACEHOLDER = /:(elapsed|due|range)\b(?:\(\s*("(?:[^"]|"")+"|\w+)\s*\))?/y;

export function scan(sql: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(sql);
  };
  const take = (kind: Piece['kind'], length: number, more: Partial<Piece> = {}): void => {
    pieces.push({ kind, text: sql.slice(at, at + length), at, ...more });
    at += length;
  };
  while (at < sql.length) {
    const before = pieces.at(-1);
    let found: RegExpExecArray | null;
    if ((found = match(SPACE))) take('space', found[0].length);
    else if ((found = match(WORD))) take('word', found[0].length);
    else if ((found = match(NUMBER))) take('other', found[0].length);
    else if ((found = match(QUOTED))) take('quoted', found[0].length);
    else if ((found = match(before?.kind === 'word' && /^e$/i.test(before.text) ? ESCAPED : STRING)))
      take('string', found[0].length);
    else if ((found = match(LINE))) take('comment', found[0].length);
    else if (sql.startsWith('/*', at)) take('comment', commentLength(sql, at));
    else if ((found = match(PARAMETER))) take('parameter', found[0].length);
    else if ((found = match(DOLLAR))) {
      const end = sql.indexOf(found[0], at + found[0].length);
      take('string', (end < 0 ? sql.length : end + found[0].length) - at);
    } else if (sql.startsWith('::', at)) take('cast', 2);
    else if ((found = match(PLACEHOLDER))) take('placeholder', found[0].length, { name: found[1], alias: found[2] });
    else take('other', 1);
  }
  return pieces;
}

/** Comments of this form may have others in them. */
function commentLength(sql: string, from: number): number {
  let depth = 0;
  for (let at = from; at < sql.length; at++) {
    if (sql.startsWith('/*', at)) {
      depth++;
      at++;
    } else if (sql.startsWith('*/', at)) {
      depth--;
      at++;
      if (depth === 0) return at + 1 - from;
    }
  }
  return sql.length - from;
}

/** The pieces that are code, in order. */
export const codeOf = (sql: string): Piece[] => scan(sql).filter(({ kind }) => kind !== 'space' && kind !== 'comment');
