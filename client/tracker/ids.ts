/**
 * A list of ids as it was given: each once, none that cannot be tracked; and how it is split into messages for the
 * pools. Pure. Called by `handle.ts` for what it is given, and by `roster.ts`, which sends the messages.
 */
import { idProblem } from '../../workflows/tracker/id';
import { poolOf } from '../../workflows/tracker/plan';
import { InvalidIdError } from '../errors';
import { hashId } from '../../workflows/lib/hash';

/** A message carries at most this many ids, and this many bytes of JSON: far below every limit of Temporal. */
export const MESSAGE_IDS = 1_000;
export const MESSAGE_BYTES = 64 * 1024;

export interface CollectedIds {
  ids: string[];
  /** How many came again. */
  duplicates: number;
}

/**
 * Every id once, in the order given, and how many came again.
 * @param position names the place of the n-th id (from 0) in a message.
 * @throws InvalidIdError at the first that cannot be tracked.
 */
export async function collectIds(
  ids: Iterable<string> | AsyncIterable<string>,
  position: (index: number) => string = (index) => `id ${index + 1}`,
): Promise<CollectedIds> {
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
