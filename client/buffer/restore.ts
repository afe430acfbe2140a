/**
 * Takes back that letters were dropped: they are pushed anew, in the transaction that takes them, so each comes back
 * once whatever is said twice. Their shard has counted them as dropped, and counts them as accepted once more. The
 * patrol tells the shards (`activities/buffer/outbox.ts`). Called by `dead.ts`.
 */
import { storeAndNote } from '../../activities/buffer/outbox';
import { run, type Queryable } from '../../activities/lib/database';
import type { Json } from '../../workflows/lib/json';
import { utf8Bytes } from '../../workflows/lib/size';
import type { Connections } from '../connections';
import { DEAD_DROPPED, DEAD_RESTORE } from './queries';

/** Letters that one statement takes. */
const LETTERS = 20;
/** Bytes of one row of entries, unless one letter alone has more. */
const ROW_BYTES = 512 * 1024;
/** Letters of one command: the rest is for the next one. */
const MOST = 10_000;
const MOST_BYTES = 64 * 1024 * 1024;

interface Row {
  [column: string]: unknown;
  shard: number;
  entry: number;
  value: Json;
  key: string | null;
}

/** @param filter the values of the filter, as `dead.ts` makes them */
export async function countDropped(connections: Connections, filter: readonly unknown[]): Promise<number> {
  const [row] = await connections.rows<{ count: number }>(DEAD_DROPPED, [...filter]);
  return row!.count;
}

/** @returns how many come back */
export async function restoreDropped(
  db: Queryable,
  buffer: string,
  filter: readonly unknown[],
  op: string,
  note: string | null,
): Promise<number> {
  /** The number of the last message to each shard. */
  const sent = new Map<number, number>();
  let [restored, bytes] = [0, 0];
  while (restored < MOST && bytes < MOST_BYTES) {
    const rows = await run<Row>(db, DEAD_RESTORE, [...filter, op, note, LETTERS]);
    for (const [letters, size] of parcels(rows)) {
      bytes += size;
      const { shard } = letters[0]!;
      const seq = (sent.get(shard) ?? 0) + 1;
      sent.set(shard, seq);
      const message = { buffer, id: `${op}.${shard}.${seq}`, shard, sender: op, seq, front: null, at: null };
      const entries = letters.map(({ value }) => value);
      const keys = letters.map(({ key }) => key);
      await storeAndNote(db, message, entries, keys.some((key) => key !== null) ? keys : undefined);
    }
    restored += rows.length;
    if (rows.length < LETTERS) break;
  }
  return restored;
}

/** Letters of one shard in their order, as many as one row may have, and their bytes. */
function parcels(rows: readonly Row[]): [Row[], number][] {
  const made: [Row[], number][] = [];
  for (const row of [...rows].sort((a, b) => a.shard - b.shard || a.entry - b.entry)) {
    const size = utf8Bytes(JSON.stringify(row.value));
    const last = made.at(-1);
    if (last?.[0][0]!.shard === row.shard && last[1] + size <= ROW_BYTES) {
      last[0].push(row);
      last[1] += size;
    } else made.push([[row], size]);
  }
  return made;
}
