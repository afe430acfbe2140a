/**
 * Errors that say the same of different things, as one text: numbers, ids and addresses in it become a sign, so that a
 * thousand failures are one line. Pure. Called by the lists of failing members and of dead letters.
 */

/** More of a text says nothing more about what went wrong. Characters. */
const MOST = 200;

/**
 * The signs, in the order in which they are looked for: what has a form of its own before plain numbers. Each pattern
 * reads a text once from left to right, whatever stands in it.
 */
const SIGNS: readonly [RegExp, string][] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, '<uuid>'],
  [/\b0x[0-9a-f]+\b/gi, '<hex>'],
  [/\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{12,}\b/gi, '<hex>'],
  [/\d+/g, '#'],
  [/#(?:[.,:]#)+/g, '#'],
];

/** The text without what differs from one failure to the next. Folded once or twice, it is the same. */
export function foldError(text: string): string {
  const line = text
    .slice(0, 4 * MOST)
    .replace(/\s+/g, ' ')
    .trim();
  const folded = SIGNS.reduce((rest, [pattern, sign]) => rest.replace(pattern, sign), line);
  return folded.length > MOST ? `${folded.slice(0, MOST - 1)}…` : folded;
}

/** The signs that a pattern stands for; what they stand for may also be in a text as it is. */
const NUMBER = String.raw`([0-9]+|#)`;
const PATTERNS: Record<string, string> = {
  '<uuid>': String.raw`(<uuid>|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})`,
  '<hex>': String.raw`(<hex>|0[xX][0-9a-fA-F]+|[0-9a-fA-F]{12,})`,
  '#': `${NUMBER}([.,:]${NUMBER})*`,
  ' ': String.raw`\s+`,
};

/**
 * A regular expression, for PostgreSQL and for JavaScript, that finds the texts which fold to this one: all of it, or
 * its beginning where it was cut.
 */
export function patternOf(folded: string): string {
  const cut = folded.endsWith('…') && folded.length === MOST;
  const text = cut ? folded.slice(0, -1) : folded;
  const parts = text.split(/(<uuid>|<hex>|#| )/);
  const inner = parts.map((part) => PATTERNS[part] ?? part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('');
  return String.raw`^\s*${inner}` + (cut ? '' : String.raw`\s*$`);
}

/** Failures of one folded text. */
export interface Folded<T> {
  text: string;
  count: number;
  /** The first that was counted. */
  example: T;
}

/**
 * @param counted rows that may be of the same folded text, each of so many
 * @param both one example of two rows. @default the first
 * @returns the most frequent first
 */
export function foldAll<T>(
  counted: Iterable<{ error: string; count: number; example: T }>,
  both: (first: T, other: T) => T = (first) => first,
): Folded<T>[] {
  const byText = new Map<string, Folded<T>>();
  for (const { error, count, example } of counted) {
    const text = foldError(error);
    const known = byText.get(text);
    if (known) {
      known.count += count;
      known.example = both(known.example, example);
    } else byText.set(text, { text, count, example });
  }
  return [...byText.values()].sort((a, b) => b.count - a.count || (a.text < b.text ? -1 : 1));
}
