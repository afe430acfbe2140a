/**
 * Gathers the entries of a batch: those of its input, and those of the rows that its input names; with the numbers of
 * those that have a newer one of the same key. Called by `batch.ts`, which hands them to the user's `run`.
 */
import type { BatchInput } from '../../workflows/buffer/activities';
import { forgetRows, readRows, staleEntries } from './store/chunks';
import type { Database } from '../lib/database';
import type { Given } from './answer';
import type { Json } from '../../workflows/lib/json';

export type Gathered =
  | { given: Given; forgot: boolean }
  /** Rows that are not there. */
  | { gone: string[] };

type Rows = Awaited<ReturnType<typeof readRows>>;

/** @throws what the database throws */
export async function gather(database: Database, input: BatchInput, keyOf: Given['keyOf']): Promise<Gathered> {
  const { buffer, shard, chunks, checkKeys, forget } = input;
  const ids = [...new Set(chunks.flatMap((chunk) => (chunk.row === undefined ? [] : [chunk.row])))];
  if (ids.length === 0 && !checkKeys) {
    const forgot = await forgetIfPossible(database, buffer, forget);
    return { given: given(collect(chunks, new Map()), new Set(), keyOf, checkKeys), forgot };
  }
  return database.transaction(async (db) => {
    await forgetRows(db, buffer, forget);
    const rows = await readRows(db, buffer, ids);
    const gone = ids.filter((id) => !rows.has(id));
    if (gone.length > 0) return { gone };
    const entries = collect(chunks, rows);
    const keyed = entries.flatMap(({ key, age }, at) => (key === null ? [] : [{ key, number: age, at }]));
    const found = checkKeys ? await staleEntries(db, buffer, shard, keyed) : new Set<number>();
    const stale = new Set([...found].map((i) => keyed[i]!.at));
    return { given: given(entries, stale, keyOf, checkKeys), forgot: true };
  });
}

/** Rows that nobody needs can wait: a batch that has all it needs does not. */
async function forgetIfPossible(database: Database, buffer: string, forget: string[]): Promise<boolean> {
  if (forget.length === 0) return true;
  return database
    .transaction((db) => forgetRows(db, buffer, forget))
    .then(
      () => true,
      () => false,
    );
}

interface Entry {
  value: Json;
  key: string | null;
  age: number;
}

function collect(chunks: BatchInput['chunks'], rows: Rows): Entry[] {
  return chunks.flatMap(({ first, count, entries, row: id, from = 0, keys, ages }) => {
    const row = id === undefined ? undefined : rows.get(id)!;
    return Array.from({ length: count }, (_, i) => ({
      value: row ? row.entries[from + i]! : entries![i]!,
      key: (row ? row.keys?.[from + i] : keys?.[i]) ?? null,
      age: ages?.[i] ?? first + i,
    }));
  });
}

function given(entries: Entry[], stale: ReadonlySet<number>, keyOf: Given['keyOf'], checkKeys: boolean): Given {
  const positions = entries.flatMap((_, i) => (stale.has(i) ? [] : [i]));
  const live = positions.map((i) => entries[i]!.value);
  return {
    entries: live,
    positions,
    before: JSON.stringify(live),
    keyOf,
    keys: checkKeys ? positions.map((i) => entries[i]!.key) : undefined,
  };
}
