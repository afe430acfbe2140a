/**
 * The ids of `add`, `remove` and `reconcile`: from the command line, a file or standard input. Lines are read as a
 * stream and trimmed; bytes that are not text are refused. Nothing is sent before the last line has been checked.
 */
import { createReadStream, statSync } from 'node:fs';
import { UsageError } from './errors';

export interface IdInput {
  ids: AsyncIterable<string>;
  /** The place of the id that was read last: `list.txt, line 12`. */
  position: (index: number) => string;
  /** Lines without an id so far. */
  blank: () => number;
}

/** @param file a path, or `-` for standard input. @throws UsageError when there is nothing to read. */
export function idInput(given: readonly string[], file: string | undefined): IdInput {
  if (given.length === 0 && file === undefined)
    throw new UsageError('name at least one id, or give --file FILE (or -)');
  if (file !== undefined && file !== '-') checkFile(file);
  const name = file === '-' ? 'standard input' : (file ?? '');
  let line = 0;
  let blank = 0;
  async function* read(): AsyncGenerator<string> {
    yield* given;
    if (file === undefined) return;
    let found = 0;
    for await (const text of lines(file === '-' ? process.stdin : createReadStream(file), name)) {
      line++;
      const id = text.trim();
      if (id === '') blank++;
      else {
        found++;
        yield id;
      }
    }
    // An empty list is a mistake on the way more often than a wish, and `reconcile --apply` would remove every member.
    if (found === 0 && given.length === 0) throw new UsageError(`${name} has no ids; nothing was done`);
  }
  return {
    ids: read(),
    position: (index) => (line === 0 ? `id ${index + 1}` : `${name}, line ${line}`),
    blank: () => blank,
  };
}

export function checkFile(file: string): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found) throw new UsageError(`there is no file ${file}; nothing was done`);
  if (found.isDirectory()) throw new UsageError(`${file} is a folder; name a file`);
}

/** A line far longer than any id ends the reading: without line ends, a file of gigabytes would be one line. */
const LONGEST_LINE = 100_000;

/** Lines of text, as they come. @throws UsageError where it is none. */
export async function* lines(
  stream: AsyncIterable<unknown>,
  name: string,
  longest = LONGEST_LINE,
): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  const decode = (chunk: Uint8Array | undefined): string => {
    if (chunk?.includes(0)) throw new UsageError(`${name} is a binary file; give a text file`);
    try {
      return chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode();
    } catch {
      throw new UsageError(`${name} is not UTF-8 text; give a text file`);
    }
  };
  try {
    for await (const chunk of stream) {
      const parts = (rest + decode(chunk as Uint8Array)).split('\n');
      rest = parts.pop()!;
      if (rest.length > longest) throw new UsageError(`${name} has a line of more than ${longest} characters`);
      yield* parts;
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') throw new UsageError(`${name} may not be read (no permission)`);
    if (code === 'EISDIR') throw new UsageError(`${name} is a folder; name a file with one id a line`);
    throw error;
  }
  rest += decode(undefined);
  if (rest !== '') yield rest;
}
