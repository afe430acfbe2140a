/**
 * The `storeChunks` activity: a shard's entries become rows, all at once, or, where that fails and PostgreSQL is there,
 * each by itself, so that one that cannot be kept does not stop the others. Called by
 * `workflows/buffer/parts/storage.ts`.
 */
import type { Logger } from 'pino';
import type { BufferActivities, RefusedRow, StoreRow } from '../../workflows/buffer/activities';
import { ErrorType } from '../../workflows/lib/errors';
import { storeRows } from './store/chunks';
import type { Database } from '../lib/database';
import { classOf } from '../lib/sqlstate';
import { errorText } from '../../workflows/lib/text';

type Input = Parameters<BufferActivities['storeChunks']>[0];

export async function storeChunks(database: Database, input: Input, log: Logger): Promise<RefusedRow[]> {
  const { buffer, shard, rows, keyed, moment } = input;
  const store = async (some: StoreRow[]): Promise<RefusedRow[]> => {
    const wrong = await database.transaction((db) => storeRows(db, buffer, shard, some, { keyed, moment }));
    return wrong.map(({ id, count }) => {
      const said = some.find((row) => row.id === id)!.chunk.count;
      const error = `row ${id} was said to have ${said} entries, and has ${count}`;
      log.warn({ buffer, shard, row: id, said, count }, error);
      return { id, error, count };
    });
  };
  try {
    return await store(rows);
  } catch (thrown) {
    if (!concernsARow(thrown)) throw thrown;
    log.warn(
      { err: thrown, buffer, shard, rows: rows.length },
      'entries could not be stored together; each is tried by itself',
    );
  }
  const refused: RefusedRow[] = [];
  for (const row of rows) {
    try {
      refused.push(...(await store([row])));
    } catch (thrown) {
      if (!concernsARow(thrown)) throw thrown;
      log.error({ err: thrown, buffer, shard, row: row.id, entries: row.chunk.count }, 'entries cannot be stored');
      refused.push({ id: row.id, error: errorText(thrown) });
    }
  }
  return refused;
}

/**
 * A row that is gone is one as well (`chunks.ts`); an outage, a fence or a statement that never works concern all of
 * them.
 */
function concernsARow(thrown: unknown): boolean {
  if ((thrown as { type?: unknown } | null)?.type === ErrorType.BadValue) return true;
  return classOf(thrown) === 'row';
}
