/**
 * From a tracker's operation to a buffer: values that have changed become entries. They are stored in the flush's own transaction, so a value
 * that is written has its entry and one that is not has none, and their shards are told when it has committed. What could not be told is told
 * by the patrol. Called by the node's writer (`activities/shift/writer.ts`); next: `workflows/buffer/intake.ts`.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { BufferDefinition } from '../../workers/config/buffer';
import type { Json, PushMessage } from '../../workflows/buffer/contract';
import { shardsOf } from '../../workflows/buffer/init';
import type { BufferOptions } from '../../workflows/buffer/options';
import { errorOf } from '../failures';
import { sendRow } from '../store/chunks';
import { run, type Database, type Queryable, type Statement } from '../store/database';
import { keyFunction, shardOfKey } from './keys';

/** What an entry of a tracker's operation is. */
export interface FedValue {
  [key: string]: Json;
  tracker: string;
  operation: string;
  id: string;
  value: Json;
  /** Epoch milliseconds. */
  fetchedAt: number;
}

const NOTE: Statement = {
  name: 'outbox-note',
  text: `insert into longwatch.buffer_outbox (buffer, id, shard, sender, seq, count, bytes) values ($1, $2, $3, $4, $5, $6, $7)`,
};
const TOLD: Statement = {
  name: 'outbox-told',
  text: `delete from longwatch.buffer_outbox where buffer = $1 and id = $2`,
};
const UNTOLD: Statement = {
  name: 'outbox-untold',
  text: `select buffer, id, shard, sender, seq, count, bytes from longwatch.buffer_outbox
         where made_at < now() - interval '10 seconds'
           and buffer not in (select name from longwatch.buffer where state = 'stopped')
         order by made_at limit 1000`,
};

interface Note {
  [column: string]: unknown;
  buffer: string;
  id: string;
  shard: number;
  sender: string;
  seq: number;
  count: number;
  bytes: number;
}

type Push = (buffer: string, shard: number, message: PushMessage) => Promise<void>;

export class BufferFeed {
  private sender = randomUUID();
  private seqs = new Map<string, number>();
  private notes: Note[] = [];
  private turn = 0;

  constructor(
    private readonly definitions: ReadonlyMap<
      string,
      { definition: BufferDefinition<never, never>; options: BufferOptions }
    >,
    private readonly database: Database,
    private readonly push: Push,
    private readonly log: Logger,
  ) {}

  /** In the flush's transaction. */
  async store(db: Queryable, buffer: string, values: FedValue[]): Promise<void> {
    const { definition, options } = this.definitions.get(buffer)!;
    const keyOf = keyFunction(definition);
    const shards = shardsOf(options);
    const groups = new Map<number, FedValue[]>();
    const turn = this.turn++;
    for (const value of values) {
      const key = keyOf?.(value) ?? null;
      const shard = key === null ? turn % shards : shardOfKey(key, shards);
      const group = groups.get(shard);
      if (group) group.push(value);
      else groups.set(shard, [value]);
    }
    for (const [shard, entries] of groups) {
      const at = `${buffer}/${shard}`;
      const seq = (this.seqs.get(at) ?? 0) + 1;
      this.seqs.set(at, seq);
      const json = JSON.stringify(entries);
      const id = `${this.sender}.${shard}.${seq}`;
      await sendRow(db, { buffer, id, entries, json, keys: keyOf && entries.map(keyOf) }, null);
      const note: Note = { buffer, id, shard, sender: this.sender, seq, count: entries.length, bytes: json.length };
      await run(db, NOTE, [buffer, id, shard, note.sender, seq, note.count, note.bytes]);
      this.notes.push(note);
    }
  }

  /** The flush has committed: tells the shards. Never rejects. */
  async committed(): Promise<void> {
    await tell(this.notes.splice(0), this.database, this.push, this.log);
  }

  /** It has not: its numbers are not used again, and a gap in them would be remembered for ever. */
  rolledBack(): void {
    if (this.notes.length === 0) return;
    this.notes = [];
    this.sender = randomUUID();
    this.seqs.clear();
  }
}

/** What a node could not tell, or died before it could. The shard takes each in once. */
export async function tellUntold(database: Database, push: Push, log: Logger): Promise<void> {
  await tell(await database.rows<Note>(UNTOLD), database, push, log);
}

async function tell(notes: Note[], database: Database, push: Push, log: Logger): Promise<void> {
  for (const { buffer, id, shard, sender, seq, count, bytes } of notes) {
    try {
      await push(buffer, shard, { sender, seq: Number(seq), row: { id, count }, bytes });
      await database.rows(TOLD, [buffer, id]);
    } catch (thrown) {
      log.debug(
        { err: errorOf(thrown), buffer, shard },
        'entries of a tracker are stored, and their shard not told yet',
      );
    }
  }
}
