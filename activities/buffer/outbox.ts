/**
 * Messages that are stored before their shard is told of them, in one transaction with what they come from: a flush of
 * values (`feed.ts`), or a shard that was ended by force (`revive.ts`). A note that could not be told at once is told
 * by the patrol; a shard takes each in once.
 */
import type { Logger } from 'pino';
import type { PushMessage } from '../../workflows/buffer/contract';
import { utf8Bytes } from '../../workflows/lib/size';
import { errorOf } from '../lib/failures';
import { sendRow } from './store/chunks';
import { run, type Database, type Queryable, type Statement } from '../lib/database';
import type { Json } from '../../workflows/lib/json';

const NOTE: Statement = {
  name: 'outbox-note',
  // The moment at which it is written, not that of its transaction: of two of one key the later one has waited for the
  // first to commit.
  text: `insert into longwatch.buffer_outbox (buffer, id, shard, sender, seq, count, bytes, front, at, made_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp())
         on conflict (buffer, id) do nothing`,
};
/**
 * Whether another sender's note to the shard, which is not told yet, has an entry of one of these keys; of many, nobody
 * looks.
 */
const OTHERS: Statement = {
  name: 'outbox-others',
  text: `with others as (
           select buffer, id from longwatch.buffer_outbox where buffer = $1 and shard = $2 and sender <> $3 limit 101)
         select (select count(*) > 100 from others)
                or exists (select from others join longwatch.buffer_chunk c using (buffer, id) where c.keys && $4::text[]) as behind`,
};
const TOLD: Statement = {
  name: 'outbox-told',
  text: `delete from longwatch.buffer_outbox where buffer = $1 and id = $2`,
};
/** Notes of each shard in their order, and the same share of each: one that cannot be told holds up no other. */
const UNTOLD: Statement = {
  name: 'outbox-untold',
  text: `select buffer, id, shard, sender, seq, count, bytes, front, at
         from (
           select o.*, row_number() over (partition by o.buffer, o.shard order by o.made_at, o.seq) as turn
           from longwatch.buffer_outbox o join longwatch.buffer b on b.name = o.buffer
           where b.state <> 'stopped' and o.made_at < now() - interval '10 seconds') as o
         where turn <= 200
         order by turn, made_at, buffer, shard limit 1000`,
};
const UNTOLD_OF: Statement = {
  name: 'outbox-untold-of',
  text: `select buffer, id, shard, sender, seq, count, bytes, front, at
         from longwatch.buffer_outbox where buffer = $1 and shard = $2
         order by made_at, seq limit $3`,
};

/** The owner of a stored message, and the message as its sender had it. */
export interface Stored {
  buffer: string;
  /** The id of the row that has its entries. */
  id: string;
  shard: number;
  sender: string;
  seq: number;
  front: boolean | null;
  at: number | null;
}

export interface Note extends Stored {
  [column: string]: unknown;
  count: number;
  bytes: number;
}

export type Push = (buffer: string, shard: number, message: PushMessage) => Promise<void>;

/** The note alone; its entries lie in their row already. */
export async function note(db: Queryable, message: Note): Promise<Note> {
  const { buffer, id, shard, sender, seq, count, bytes, front, at } = message;
  await run(db, NOTE, [buffer, id, shard, sender, seq, count, bytes, front, at]);
  return message;
}

export async function storeAndNote(
  db: Queryable,
  message: Stored,
  entries: readonly Json[],
  keys?: (string | null)[],
): Promise<Note> {
  const { buffer, id } = message;
  const json = JSON.stringify(entries);
  await sendRow(db, { buffer, id, entries, json, ...(keys ? { keys } : {}) }, null);
  return note(db, { ...message, count: entries.length, bytes: utf8Bytes(json) });
}

/**
 * Call it in the transaction, after what it waits for: an older value of a key may be committed, and its shard not told
 * yet.
 */
export async function othersBefore(
  db: Queryable,
  { buffer, shard, sender }: Pick<Note, 'buffer' | 'shard' | 'sender'>,
  keys: readonly (string | null)[],
): Promise<boolean> {
  const known = keys.filter((key) => key !== null);
  if (known.length === 0) return false;
  const [row] = await run<{ behind: boolean }>(db, OTHERS, [buffer, shard, sender, known]);
  return row!.behind;
}

/**
 * Call it when they are committed. Never rejects. If one is not told, the later ones of its shard are not told
 * before it.
 * @returns the shards that were not told all, as `buffer/shard`
 */
export async function tell(
  notes: readonly Note[],
  database: Database,
  push: Push,
  log: Logger,
): Promise<ReadonlySet<string>> {
  const behind = new Set<string>();
  for (const { buffer, id, shard, sender, seq, count, bytes, front, at } of notes) {
    const place = placeOf(buffer, shard);
    if (behind.has(place)) continue;
    const how = { ...(front ? { front } : {}), ...(at === null ? {} : { at }) };
    try {
      await push(buffer, shard, { sender, seq: Number(seq), row: { id, count }, bytes, ...how });
    } catch (thrown) {
      behind.add(place);
      log.debug({ err: errorOf(thrown), buffer, shard }, 'entries are stored, and their shard not told yet');
      continue;
    }
    try {
      await database.rows(TOLD, [buffer, id]);
    } catch (thrown) {
      log.debug({ err: errorOf(thrown), buffer, shard }, 'a shard was told, and will be told again');
    }
  }
  return behind;
}

export const placeOf = (buffer: string, shard: number): string => `${buffer}/${shard}`;

/** Tells what a node could not tell, or died before it could. */
export async function tellUntold(database: Database, push: Push, log: Logger): Promise<void> {
  await tell(await database.rows<Note>(UNTOLD), database, push, log);
}

/** Told at most at once, of one shard. */
const CATCH_UP = 500;

/** All that a shard has not been told yet, in its order. Never rejects. @returns whether it has been told all */
export async function catchUp(
  { buffer, shard }: Pick<Note, 'buffer' | 'shard'>,
  database: Database,
  push: Push,
  log: Logger,
): Promise<boolean> {
  try {
    const notes = await database.rows<Note>(UNTOLD_OF, [buffer, shard, CATCH_UP]);
    return (await tell(notes, database, push, log)).size === 0 && notes.length < CATCH_UP;
  } catch (thrown) {
    log.debug({ err: errorOf(thrown), buffer, shard }, 'what the shard has not been told could not be read');
    return false;
  }
}
