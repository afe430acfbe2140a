/**
 * From a tracker's operation to a buffer: values that have changed become entries. They are stored in the flush's own
 * transaction, so a value that is written has its entry and one that is not has none, and their shards are told when it
 * has committed. The patrol tells what could not be told. Called by the node's flush
 * (`activities/tracker/shift/feed.ts`); next: `workflows/buffer/intake.ts`.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { BufferDefinition } from '../../config/define/buffer';
import { shardsOf } from '../../workflows/buffer/init';
import { jsonBytes } from '../../workflows/lib/size';
import type { BufferOptions } from '../../workflows/buffer/options';
import { readBuffer } from './store/buffers';
import type { Database, Queryable } from '../lib/database';
import { keyFunction, shardOfKey } from './keys';
import { catchUp, othersBefore, placeOf, storeAndNote, tell, type Note, type Push } from './outbox';
import type { Json } from '../../workflows/lib/json';

/** Describes an entry of a tracker's operation. */
export interface FedValue {
  [key: string]: Json;
  tracker: string;
  operation: string;
  id: string;
  value: Json;
  /** Epoch milliseconds. */
  fetchedAt: number;
}

/** A value on its way to a buffer, with the key that its definition gives it. */
export interface FedEntry<V extends Json = FedValue> {
  buffer: string;
  value: V;
  key: string | null;
}

/** A place to go back to within a transaction. */
export interface FeedMark {
  notes: number;
  seqs: ReadonlyMap<string, number>;
}

/** One stored row at most, so that no text grows with the size of a flush. */
const ROW_ENTRIES = 1_000;
const ROW_BYTES = 2 ** 20;

export class BufferFeed {
  private sender = randomUUID();
  private seqs = new Map<string, number>();
  private notes: Note[] = [];
  private turn = 0;
  /** Shards that have not been told of all that is stored for them. */
  private readonly behind = new Set<string>();
  /** Committed, and to be told after what is being told. */
  private readonly untold: Note[] = [];
  private telling: Promise<void> | undefined;

  constructor(
    private readonly definitions: ReadonlyMap<
      string,
      { definition: BufferDefinition<never, never>; options: BufferOptions }
    >,
    private readonly database: Database,
    private readonly push: Push,
    private readonly log: Logger,
  ) {}

  /** Whether the config has this buffer. */
  has(buffer: string): boolean {
    return this.definitions.has(buffer);
  }

  /** The user's code: it may throw whatever it likes, so it is asked before the transaction. */
  keyOf(buffer: string, value: Json): string | null {
    return keyFunction(this.definitions.get(buffer)!.definition)?.(value) ?? null;
  }

  /** In the flush's transaction. */
  async store(db: Queryable, entries: readonly FedEntry<Json>[]): Promise<void> {
    const byBuffer = new Map<string, FedEntry<Json>[]>();
    for (const entry of entries) {
      const others = byBuffer.get(entry.buffer);
      if (others) others.push(entry);
      else byBuffer.set(entry.buffer, [entry]);
    }
    for (const [buffer, fed] of byBuffer) await this.storeIn(db, buffer, fed);
  }

  private async storeIn(db: Queryable, buffer: string, entries: readonly FedEntry<Json>[]): Promise<void> {
    const { definition, options } = this.definitions.get(buffer)!;
    // As they are set now: what other senders push of the same key must meet it in the same shard.
    const shards = shardsOf((await readBuffer(db, buffer))?.options ?? options);
    const groups = new Map<number, FedEntry<Json>[]>();
    const turn = this.turn++;
    for (const entry of entries) {
      const shard = entry.key === null ? turn % shards : shardOfKey(entry.key, shards);
      const group = groups.get(shard);
      if (group) group.push(entry);
      else groups.set(shard, [entry]);
    }
    for (const [shard, group] of groups) {
      for (const row of rowsOf(group)) {
        const at = placeOf(buffer, shard);
        const seq = (this.seqs.get(at) ?? 0) + 1;
        this.seqs.set(at, seq);
        const message = { buffer, shard, sender: this.sender, seq, front: null, at: null };
        const id = `${this.sender}.${shard}.${seq}`;
        const values = row.map(({ value }) => value);
        const keys = definition.key === undefined ? undefined : row.map(({ key }) => key);
        // Another node had the member a moment ago, and may be about to tell of the value before.
        if (keys && !this.behind.has(at) && (await othersBefore(db, message, keys))) this.behind.add(at);
        this.notes.push(await storeAndNote(db, { ...message, id }, values, keys));
      }
    }
  }

  /** Before a savepoint. */
  mark(): FeedMark {
    return { notes: this.notes.length, seqs: new Map(this.seqs) };
  }

  /** The savepoint was rolled back, so nothing of it is there: its numbers are free again. */
  undo({ notes, seqs }: FeedMark): void {
    this.notes.length = notes;
    this.seqs = new Map(seqs);
  }

  /**
   * The flush has committed: tells the shards, one message after the other, also where the next flush commits
   * meanwhile. Never rejects.
   */
  committed(): Promise<void> {
    this.untold.push(...this.notes.splice(0));
    this.telling ??= this.tellAll().finally(() => (this.telling = undefined));
    return this.telling;
  }

  private async tellAll(): Promise<void> {
    while (this.untold.length > 0) await this.tellInOrder(this.untold.splice(0));
  }

  /**
   * A shard that has not been told of all that came before, by this node or another one, is told of that first: of two
   * values of one key it takes the one that comes later for the newer one.
   */
  private async tellInOrder(notes: readonly Note[]): Promise<void> {
    const places = new Map(notes.map((note) => [placeOf(note.buffer, note.shard), note]));
    const late = [...places].filter(([place]) => this.behind.has(place));
    for (const [place, note] of late) {
      // These are among what it is told now, or are told after it.
      if (await catchUp(note, this.database, this.push, this.log)) this.behind.delete(place);
      places.delete(place);
    }
    const onTime = notes.filter(({ buffer, shard }) => places.has(placeOf(buffer, shard)));
    for (const place of await tell(onTime, this.database, this.push, this.log)) this.behind.add(place);
  }

  /** It has not, or nobody knows: its numbers are not used again, and a gap in them would be remembered for ever. */
  rolledBack(): void {
    if (this.notes.length === 0) return;
    this.notes = [];
    this.sender = randomUUID();
    this.seqs.clear();
  }
}

function* rowsOf(entries: readonly FedEntry<Json>[]): Generator<FedEntry<Json>[]> {
  let row: FedEntry<Json>[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = jsonBytes(entry.value);
    if (row.length >= ROW_ENTRIES || (row.length > 0 && bytes + size > ROW_BYTES)) {
      yield row;
      row = [];
      bytes = 0;
    }
    row.push(entry);
    bytes += size;
  }
  if (row.length > 0) yield row;
}
