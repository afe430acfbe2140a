/** 'Did you mean …?' for every name that a user can mistype: options, trackers, operations, verbs. */
import { closest, distance } from 'fastest-levenshtein';

/** The candidate that the word was probably meant to be, or undefined when none is near. */
export function suggestion(word: string, candidates: Iterable<string>): string | undefined {
  const names = [...candidates];
  if (names.length === 0) return undefined;
  const lower = word.toLowerCase();
  const same = names.find((name) => name.toLowerCase() === lower);
  if (same !== undefined) return same;
  const best = closest(word, names);
  return distance(word, best) <= Math.max(1, Math.floor(Math.max(word.length, best.length) * 0.4)) ? best : undefined;
}

/** The same as the end of a sentence: `; did you mean 'every'?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const name = suggestion(word, candidates);
  return name === undefined ? '' : `; did you mean '${name}'?`;
}
