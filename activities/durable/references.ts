/**
 * Results that are too large for Temporal's payloads: they stay in the task's row, and a reference goes through the
 * workflow. Here it becomes the value again, before the next activity runs. A reference names the task and has the hash
 * of its result: so nobody who does not have the result already can make one, and JSON from outside that looks like one
 * gives nothing away. Called by `index.ts`.
 */
import { createHash } from 'node:crypto';
import { INLINE_RESULT_BYTES, isReference, type Reference } from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../lib/failures';
import type { Database } from '../lib/database';
import { errorText, unstorable } from '../../workflows/lib/text';
import { resultsOf } from './store/tasks';

/** PostgreSQL's own limit for one value is a gigabyte; what is near it has no business in a result. */
const RESULT_BYTES = 64 * 1_024 * 1_024;

/** The result as JSON. @throws BadValue when JSON cannot say it, or it is too large to be stored. */
export function serialize(activity: string, result: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(result ?? null);
  } catch (error) {
    throw failure(ErrorType.BadValue, `the result of ${activity} cannot be written as JSON: ${errorText(error)}`);
  }
  if (text === undefined) throw failure(ErrorType.BadValue, `the result of ${activity} cannot be written as JSON`);
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes > RESULT_BYTES) {
    throw failure(
      ErrorType.BadValue,
      `the result of ${activity} has ${bytes} bytes; at most ${RESULT_BYTES} are stored`,
    );
  }
  return text;
}

/** Whether a result is too large to go through the workflow. */
export function isByReference(text: string): boolean {
  // A string has at least as many bytes as characters, and rarely needs to be counted.
  return text.length * 3 > INLINE_RESULT_BYTES && Buffer.byteLength(text, 'utf8') > INLINE_RESULT_BYTES;
}

/** The value itself, as it is stored, while it is small; else a reference to the task that has it. */
export function inlineOrReference(task: string, text: string): unknown {
  if (!isByReference(text)) return JSON.parse(text);
  const bytes = Buffer.byteLength(text, 'utf8');
  return { $longwatch: 'result', task, bytes, digest: digestOf(text) } satisfies Reference;
}

const digestOf = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

/** The place of a reference: in what it stands, and under which name. */
interface Place {
  holder: object;
  name: string;
  reference: Reference;
}

/** The input with its references replaced. @throws BadValue when a result is not kept any more. */
export async function resolveReferences<T>(database: Database, input: T): Promise<T> {
  if (placesIn({ input }).length === 0) return input;
  // The caller's input stays as it was: with its references.
  const root = { input: structuredClone(input) };
  const places = placesIn(root);
  const results = await resultsOf(database, [...new Set(places.map(({ reference }) => reference.task))]);
  for (const { holder, name, reference } of places) {
    const text = results.get(reference.task);
    if (text === undefined) {
      throw failure(ErrorType.BadValue, `the result of ${reference.task} is not kept any more`);
    }
    if (digestOf(text) !== reference.digest) continue;
    const value: unknown = JSON.parse(text);
    Object.defineProperty(holder, name, { value, writable: true, enumerable: true, configurable: true });
  }
  return root.input;
}

/** Without recursion: an input may be nested as deep as JSON can say. */
function placesIn(root: object): Place[] {
  const places: Place[] = [];
  const left: object[] = [root];
  for (let holder = left.pop(); holder !== undefined; holder = left.pop()) {
    for (const [name, inner] of Object.entries(holder) as [string, unknown][]) {
      if (typeof inner !== 'object' || inner === null) continue;
      if (isReference(inner) && unstorable(inner.task) === undefined) places.push({ holder, name, reference: inner });
      else left.push(inner);
    }
  }
  return places;
}
