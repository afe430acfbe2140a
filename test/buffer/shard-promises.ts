/**
 * The promises of a shard, as its simulated world knows them: what was accepted, what began before what, and what has
 * become of each entry. Asked by `shard-world.ts` and `shard-tasks.ts` after each step.
 */
import { countsOf, LANES } from '../../workflows/buffer/queue';
import type { Chunk, LaneName, ShardState } from '../../workflows/buffer/state';
import { mayOvertake, storeIsThere } from '../../workflows/buffer/outage';
import type { PostgresWorld } from './postgres-world';
import { sizedBytes, type Sized } from './sizes';

/** Temporal's limit of a history. Bytes. */
const HISTORY = 50 * 1024 * 1024;

export class ShardPromises {
  readonly accepted = new Map<number, Sized & { lane: LaneName }>();
  readonly handled = new Set<number>();
  /** Rows of theirs went missing. */
  readonly excused = new Set<number>();
  readonly revived = new Set<number>();
  readonly overtaken = new Set<number>();
  private readonly started = new Map<string, { batch: number; id: number }[]>();
  private readonly taken = new Set<number>();
  private firstTaken: Record<'front' | 'back', number> = { front: 0, back: 0 };

  constructor(
    private readonly pg: PostgresWorld,
    private readonly isKeyed: boolean,
  ) {}

  /**
   * Newest wins: no batch has an entry of a key of which one before it had a newer one. Batches that run at once end in
   * any order.
   */
  starts(batch: number, { id, key }: Sized): void {
    if (key === undefined || this.revived.has(id)) return;
    const before = this.started.get(key) ?? [];
    for (const other of before) {
      const [first, second] = other.batch < batch ? [other.id, id] : [id, other.id];
      if (first > second && other.batch !== batch) throw new Error(`entry ${second} of ${key} began after ${first}`);
    }
    this.started.set(key, [...before, { batch, id }]);
  }

  /** While PostgreSQL is away, what lies there or is on its way there does not keep the rest from running. */
  noteOvertaken(state: ShardState): void {
    if (storeIsThere(state) || !mayOvertake(state) || this.isKeyed) return;
    for (const { entries } of this.pg.rows.values())
      for (const entry of entries) if (entry) this.overtaken.add(entry.id);
    for (const lane of LANES) {
      for (const { entries, storing: isOut, place } of [...state[lane].chunks, ...state[lane].overflow]) {
        if (isOut || place !== undefined)
          for (const entry of (entries ?? []) as unknown as Sized[]) this.overtaken.add(entry.id);
      }
    }
  }

  /** Entries that have never failed begin in the order of their coming, within their lane. */
  noteOrder(chunks: Chunk[]): void {
    if (this.isKeyed) return;
    for (const chunk of chunks) {
      const row = chunk.row === undefined ? undefined : this.pg.rows.get(chunk.row);
      const from = chunk.from ?? 0;
      const values =
        (chunk.entries as unknown as Sized[] | undefined) ?? row?.entries.slice(from, from + chunk.count) ?? [];
      for (const value of values) {
        if (!value || this.taken.has(value.id) || this.revived.has(value.id)) continue;
        this.taken.add(value.id);
        const lane = this.accepted.get(value.id)!.lane;
        if (lane === 'later' || this.overtaken.has(value.id)) continue;
        if (value.id < this.firstTaken[lane])
          throw new Error(`${lane}: entry ${value.id} after ${this.firstTaken[lane]}`);
        this.firstTaken[lane] = value.id;
      }
    }
  }

  /** A run that is reset begins anew what it had begun. */
  begunAnew(): void {
    this.started.clear();
    this.firstTaken = { front: 0, back: 0 };
  }

  /** The counts add up, and no history is larger than the server takes. */
  check(state: ShardState, history: { bytes: number; updates: number }): void {
    const { accepted, done, pending, running, dead, merged, dropped } = countsOf(state);
    if (accepted !== done + pending + running + dead + merged + dropped) {
      throw new Error(`the counts do not add up: ${JSON.stringify(countsOf(state))}`);
    }
    for (const lane of LANES) {
      const { entries } = state[lane].stored;
      if (entries < 0) throw new Error(`${entries} stored entries`);
    }
    if (history.bytes > HISTORY) throw new Error(`a history of ${history.bytes} bytes`);
    if (history.updates > 2_000) throw new Error('more updates than the server takes');
  }

  /** Every chunk weighs what it says. */
  measure(state: ShardState): void {
    for (const lane of LANES) {
      for (const { entries, count, bytes } of [...state[lane].chunks, ...state[lane].overflow]) {
        if (!entries) continue;
        if (entries.length !== count) throw new Error(`a chunk of ${entries.length} entries says ${count}`);
        if (sizedBytes(entries) !== bytes) throw new Error(`a chunk of ${sizedBytes(entries)} bytes says ${bytes}`);
      }
    }
  }

  /** Each accepted entry is done, dead, or merged by a newer one; the newest of each key is not merged. */
  census(): void {
    const dead = new Set([...this.pg.dead.values()].flatMap(({ value }) => (value ? [value.id] : [])));
    const newest = new Map<string, number>();
    for (const { id, key } of this.accepted.values()) {
      if (key !== undefined) newest.set(key, Math.max(newest.get(key) ?? 0, id));
    }
    for (const { id, key } of this.accepted.values()) {
      if (this.handled.has(id) || dead.has(id) || this.excused.has(id)) continue;
      if (key === undefined || newest.get(key) === id) throw new Error(`entry ${id}${key ? ` of ${key}` : ''} is lost`);
    }
    if (this.excused.size === 0 && [...this.pg.dead.values()].some(({ value }) => value === null)) {
      throw new Error('an entry was taken for lost');
    }
  }
}
