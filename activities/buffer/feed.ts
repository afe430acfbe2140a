/**
 * From a tracker's operation to a buffer: values that have changed become entries. They are stored in the flush's own transaction, so a value
 * that is written has its entry and one that is not has none, and their shards are told when it has committed. What could not be told is told
 * by the patrol. Called by the node's writer (`activities/shift/writer.ts`); next: `workflows/buffer/intake.ts`.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { BufferDefinition } from '../../workers/config/buffer';
import type { Json } from '../../workflows/buffer/contract';
import { shardsOf } from '../../workflows/buffer/init';
import type { BufferOptions } from '../../workflows/buffer/options';
import { readBuffer } from '../store/buffers';
import type { Database, Queryable } from '../store/database';
import { keyFunction, shardOfKey } from './keys';
import { storeAndNote, tell, type Note, type Push } from './outbox';

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
    // As they are set now: what other senders push of the same key must meet it in the same shard.
    const shards = shardsOf((await readBuffer(db, buffer))?.options ?? options);
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
      const message = { buffer, shard, sender: this.sender, seq, front: null, at: null };
      const id = `${this.sender}.${shard}.${seq}`;
      this.notes.push(await storeAndNote(db, { ...message, id }, entries, keyOf && entries.map(keyOf)));
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
