/**
 * The `buryEntries` activity: entries that are dead become rows, many in one statement; where one of them cannot be
 * kept, each by itself, and that one without its value. Called by `workflows/buffer/parts/dead.ts`; the statements are
 * in `store/dead.ts`.
 */
import type { Chunk } from '../../workflows/buffer/state';
import { keepableKey } from '../../workflows/buffer/keys';
import { readRows } from './store/chunks';
import type { Database, Queryable } from '../lib/database';
import { bury, type DeadLetter } from './store/dead';
import { classOf } from '../lib/sqlstate';
import { errorText } from '../../workflows/lib/text';
import type { Json } from '../../workflows/lib/json';

/** Letters of one statement. */
const LETTERS = 500;

export async function buryChunks(database: Database, buffer: string, shard: number, chunks: Chunk[]): Promise<void> {
  try {
    await database.transaction(async (db) => {
      const letters = await lettersOf(db, buffer, chunks);
      for (let from = 0; from < letters.length; from += LETTERS) {
        await bury(db, buffer, shard, letters.slice(from, from + LETTERS));
      }
    });
    return;
  } catch (thrown) {
    if (classOf(thrown) !== 'row') throw thrown;
  }
  for (const letter of await database.transaction((db) => lettersOf(db, buffer, chunks))) {
    try {
      await database.transaction((db) => bury(db, buffer, shard, [letter]));
    } catch (thrown) {
      if (classOf(thrown) !== 'row') throw thrown;
      const error = { at: Date.now(), error: `its value cannot be kept: ${errorText(thrown)}` };
      const without = { ...letter, value: null, errors: [...letter.errors, error] };
      await database.transaction((db) => bury(db, buffer, shard, [without]));
    }
  }
}

/** A row that is gone is known by its number alone. */
async function lettersOf(db: Queryable, buffer: string, chunks: Chunk[]): Promise<DeadLetter[]> {
  const ids = chunks.flatMap(({ row }) => (row === undefined ? [] : [row]));
  const rows = await readRows(db, buffer, ids);
  return chunks.flatMap(({ first, count, entries, row: id, from = 0, keys, errors = [], attempts = 0 }) => {
    const row = id === undefined ? undefined : rows.get(id);
    const at = (i: number): Json => (entries ? entries[i] : row?.entries[from + i]) ?? null;
    const key = (i: number): string | null => (keys ? keys[i] : row?.keys?.[from + i]) ?? null;
    return Array.from({ length: count }, (_, i) => ({
      entry: first + i,
      value: at(i),
      key: key(i) === null ? null : keepableKey(key(i)!),
      errors,
      attempts,
    }));
  });
}
