/**
 * The entries of `push`, and the messages of `send`: JSON from the command line, a file or standard input, one a line.
 * Every line is read before anything is sent, and each that is not JSON, or has a number that JavaScript cannot hold,
 * is named with its own.
 */
import { createReadStream } from 'node:fs';
import { inexact, inexactNumber } from '../client/exact';
import { UsageError } from './errors';
import { checkFile, lines } from './id-input';
import type { Json } from '../workflows/lib/json';

/** Lines that are shown of those that are wrong. */
const SHOWN = 10;
/** A line without end would be a file of gigabytes in memory. Characters. */
const LONGEST_LINE = 64 * 1024 * 1024;

export interface EntryInput {
  entries: Json[];
  blank: number;
}

/** @param file a path, or `-` for standard input. @throws UsageError that names every bad line. */
export async function entryInput(
  given: readonly string[],
  file: string | undefined,
  noun: 'entry' | 'message' = 'entry',
): Promise<EntryInput> {
  if (given.length === 0 && file === undefined) {
    throw new UsageError(`give at least one ${noun} as JSON, or --file FILE (or -) with one a line`);
  }
  const input: EntryInput = { entries: [], blank: 0 };
  const problems: string[] = [];
  let bad = 0;
  let what = 'are not JSON';
  const take = (text: string, place: string): void => {
    try {
      const entry = JSON.parse(text) as Json;
      // As it was typed: two ids that are parsed to the same number would be one.
      const number = inexactNumber(text);
      if (number !== undefined) {
        what = 'cannot be taken';
        throw new UsageError(inexact(number));
      }
      input.entries.push(entry);
    } catch (error) {
      if (++bad <= SHOWN) problems.push(`  ${place}: ${(error as Error).message}`);
    }
  };
  given.forEach((text, i) => take(text, `${noun} ${i + 1}`));
  if (file !== undefined) {
    if (file !== '-') checkFile(file);
    const name = file === '-' ? 'standard input' : file;
    let line = 0;
    for await (const text of lines(file === '-' ? process.stdin : createReadStream(file), name, LONGEST_LINE)) {
      line++;
      if (text.trim() === '') input.blank++;
      else take(text, `${name}, line ${line}`);
    }
  }
  if (bad > 0) {
    const more = bad > SHOWN ? [`  … and ${bad - SHOWN} more`] : [];
    throw new UsageError(
      [
        `${bad} of the ${noun === 'entry' ? 'entries' : 'messages'} ${what}; nothing was sent:`,
        ...problems,
        ...more,
      ].join('\n'),
    );
  }
  return input;
}
