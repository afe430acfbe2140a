/**
 * Results that are too large for Temporal's payloads: they stay in the task's row, and a reference goes through the workflow.
 * Here it becomes the value again, before the next activity runs. Called by `execute.ts`.
 */
import { INLINE_RESULT_BYTES, isReference, type Reference } from '../../workflows/lib/durable';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../failures';
import type { Database } from '../store/database';
import { resultsOf } from './tasks';

/** PostgreSQL's own limit for one value is a gigabyte; what is near it has no business in a result. */
const RESULT_BYTES = 64 * 1_024 * 1_024;
/** References are looked for in an input down to here. */
const DEPTH = 16;

/** The result as JSON. @throws BadValue when JSON cannot say it, or it is too large to be stored. */
export function serialize(activity: string, result: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(result ?? null);
  } catch (error) {
    throw failure(ErrorType.BadValue, `the result of ${activity} cannot be written as JSON: ${String(error)}`);
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

/** The value itself while it is small, else a reference to the task that has it. */
export function inlineOrReference(task: string, value: unknown, text = JSON.stringify(value ?? null)): unknown {
  // A string has at least as many bytes as characters, and rarely needs to be counted.
  const bytes = text.length * 3 <= INLINE_RESULT_BYTES ? 0 : Buffer.byteLength(text, 'utf8');
  if (bytes <= INLINE_RESULT_BYTES) return value;
  return { $longwatch: 'result', task, bytes } satisfies Reference;
}

/** The input with its references replaced. @throws BadValue when a result is not kept any more. */
export async function resolveReferences<T>(database: Database, input: T): Promise<T> {
  const found = new Set<string>();
  collect(input, found, DEPTH);
  if (found.size === 0) return input;
  const results = await resultsOf(database, [...found]);
  for (const task of found) {
    if (!results.has(task)) throw failure(ErrorType.BadValue, `the result of ${task} is not kept any more`);
  }
  return replace(input, results, DEPTH) as T;
}

function collect(value: unknown, found: Set<string>, depth: number): void {
  if (typeof value !== 'object' || value === null || depth === 0) return;
  if (isReference(value)) found.add(value.task);
  else for (const inner of Object.values(value)) collect(inner, found, depth - 1);
}

function replace(value: unknown, results: Map<string, unknown>, depth: number): unknown {
  if (typeof value !== 'object' || value === null || depth === 0) return value;
  if (isReference(value)) return results.get(value.task);
  if (Array.isArray(value)) return value.map((inner) => replace(inner, results, depth - 1));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, replace(inner, results, depth - 1)]));
}
