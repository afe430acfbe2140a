/**
 * Which ids can be tracked, and how a list of them is split into messages for the pools. Pure; called by `roster.ts`,
 * which sends the messages.
 */
import { poolOf } from '../../workflows/tracker/plan';
import { InvalidIdError } from '../errors';
import { hashId } from '../../workflows/lib/hash';

export const ID_LENGTH = 200;
export const ID_BYTES = 600;

/** A message carries at most this many ids, and this many bytes of JSON: far below every limit of Temporal. */
export const MESSAGE_IDS = 1_000;
export const MESSAGE_BYTES = 64 * 1024;

// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Why an id cannot be tracked, or undefined when it can. */
export function idProblem(id: unknown): string | undefined {
  if (typeof id !== 'string') return `an id must be text, not ${id === null ? 'null' : typeof id}`;
  if (id.trim() === '') return 'the id is empty';
  if (id.length > ID_LENGTH) return `the id has ${id.length} characters, and ${ID_LENGTH} are the limit`;
  const bytes = Buffer.byteLength(id);
  if (bytes > ID_BYTES) return `the id has ${bytes} bytes, and ${ID_BYTES} are the limit`;
  const control = CONTROL.exec(id);
  if (control) {
    const code = id.charCodeAt(control.index).toString(16).toUpperCase().padStart(4, '0');
    return `the id has a control character (U+${code}) at character ${control.index + 1}`;
  }
  if (/\p{Cs}/u.test(id)) return 'the id has half of a surrogate pair, which no database stores';
  return undefined;
}

/**
 * Every id once, in the order given, and how many came again.
 * @param position names the place of the n-th id (from 0) in a message.
 * @throws InvalidIdError at the first that cannot be tracked.
 */
export async function collectIds(
  ids: Iterable<string> | AsyncIterable<string>,
  position: (index: number) => string = (index) => `id ${index + 1}`,
): Promise<{ ids: string[]; duplicates: number }> {
  const unique = new Set<string>();
  let index = 0;
  for await (const id of ids) {
    const problem = idProblem(id);
    if (problem !== undefined) throw new InvalidIdError(position(index), problem);
    unique.add(id);
    index++;
  }
  return { ids: [...unique], duplicates: index - unique.size };
}

export interface RosterBatch {
  pool: number;
  ids: string[];
}

/**
 * The messages for a list of distinct ids in a layout of `pools`. They take turns over the pools, so that no pool
 * is flooded while others wait.
 */
export function planBatches(ids: readonly string[], pools: number): RosterBatch[] {
  const byPool = new Map<number, { batches: RosterBatch[]; bytes: number }>();
  for (const id of ids) {
    const pool = poolOf(hashId(id), pools);
    let entry = byPool.get(pool);
    if (!entry) byPool.set(pool, (entry = { batches: [], bytes: 0 }));
    const bytes = Buffer.byteLength(JSON.stringify(id)) + 1;
    const last = entry.batches.at(-1);
    if (last && last.ids.length < MESSAGE_IDS && entry.bytes + bytes <= MESSAGE_BYTES) {
      last.ids.push(id);
      entry.bytes += bytes;
    } else {
      entry.batches.push({ pool, ids: [id] });
      entry.bytes = bytes;
    }
  }
  const queues = [...byPool.values()].map((entry) => entry.batches);
  const rounds = queues.reduce((most, batches) => Math.max(most, batches.length), 0);
  return Array.from({ length: rounds }, (_, round) => queues.flatMap((batches) => batches[round] ?? [])).flat();
}
