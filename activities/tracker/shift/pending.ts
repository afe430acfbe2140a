/**
 * Results of one operation of a pool that the store does not have yet: at most one success and one failure a
 * member, so what waits is bounded by the members, however long the database is away. Filled by `operation.ts`; a flush
 * (`writer.ts`) takes what is there and puts back what it could not write. Results that meet here merge, they never
 * replace: `unchanged` says that the value before it still holds, also where that value is not stored yet.
 */
import type { Failure, Success } from './results';

/** The results that one flush takes: slots to results. A failure beside a success is the later one of the two. */
export interface Taken {
  successes: Map<number, Success>;
  failures: Map<number, Failure>;
}

/** The room of a flush; `take` lowers it. Bytes are those of UTF-8. */
export interface Room {
  rows: number;
  bytes: number;
}

/** A character of JSON (or of an ETag) takes three bytes at most; what else a row has, about this much. */
const MOST_BYTES = 3;
const ROW_BYTES = 100;

export class PendingResults {
  private successes = new Map<number, Success>();
  private failures = new Map<number, Failure>();
  /** Characters of what waits: enough to know that all of it fits, without looking at each row. */
  private characters = 0;

  get size(): number {
    return this.successes.size + this.failures.size;
  }

  succeed(slot: number, success: Success): void {
    this.put(slot, merge(this.successes.get(slot), success));
    // A failure before it is over, and nobody needs to hear of it.
    this.failures.delete(slot);
  }

  fail(slot: number, failure: Failure): void {
    this.failures.set(slot, failure);
  }

  /**
   * Takes back an `unchanged` that rests on a value which cannot be stored. False: a newer value waits, which rests on
   * nothing.
   */
  dropUnchanged(slot: number): boolean {
    const success = this.successes.get(slot);
    if (success && success.json !== null) return false;
    this.drop(slot);
    return true;
  }

  /** The failure that waits is the last of so many in a row: of one before it nobody knew when it was counted. */
  countAs(slot: number, inARow: number): void {
    const failure = this.failures.get(slot);
    if (failure) this.failures.set(slot, { ...failure, inARow });
  }

  /** The member has left. */
  forget(slot: number): void {
    this.drop(slot);
    this.failures.delete(slot);
  }

  /**
   * Takes what there is, as far as there is room; the oldest first. At least one result, so that each flush comes
   * forward.
   */
  take(room: Room): Taken {
    const most = this.characters * MOST_BYTES + this.size * ROW_BYTES;
    if (this.size <= room.rows && most <= room.bytes) {
      room.rows -= this.size;
      room.bytes -= most;
      const all: Taken = { successes: this.successes, failures: this.failures };
      this.successes = new Map();
      this.failures = new Map();
      this.characters = 0;
      return all;
    }
    const taken: Taken = { successes: new Map(), failures: new Map() };
    for (const [slot, success] of this.successes) {
      if (room.rows <= 0 || room.bytes <= 0) return taken;
      take(room, bytesOf(success));
      this.drop(slot);
      taken.successes.set(slot, success);
    }
    // Only when no success is left: a failure that is written before the success it follows would be cleared by it.
    for (const [slot, failure] of this.failures) {
      if (room.rows <= 0 || room.bytes <= 0) return taken;
      take(room, 0);
      this.failures.delete(slot);
      taken.failures.set(slot, failure);
    }
    return taken;
  }

  /**
   * Results that could not be written wait again, before what has come since. `stays`: whether the slot is still that
   * member's.
   */
  putBack(taken: Taken, stays: (slot: number, key: number) => boolean): void {
    // Failures first: they are after their own success, and before a success that has come since.
    for (const [slot, failure] of taken.failures) {
      if (stays(slot, failure.key) && !this.failures.has(slot) && !this.successes.has(slot))
        this.failures.set(slot, failure);
    }
    for (const [slot, older] of taken.successes) {
      if (!stays(slot, older.key)) continue;
      const newer = this.successes.get(slot);
      this.put(slot, newer ? merge(older, newer) : older);
    }
  }

  private put(slot: number, success: Success): void {
    this.drop(slot);
    this.successes.set(slot, success);
    this.characters += charactersOf(success);
  }

  private drop(slot: number): void {
    const success = this.successes.get(slot);
    if (!success) return;
    this.successes.delete(slot);
    this.characters -= charactersOf(success);
  }
}

/** The newest value, with the newest word on its ETag and expiry. */
function merge(older: Success | undefined, newer: Success): Success {
  if (newer.json !== null || older === undefined || older.json === null) return newer;
  const { json, codec, fed } = older;
  return codec === undefined ? { ...newer, json } : { ...newer, json, codec, fed };
}

function take(room: Room, bytes: number): void {
  room.rows--;
  room.bytes -= bytes + ROW_BYTES;
}

const charactersOf = ({ json, etag, fed }: Success): number =>
  (json?.length ?? 0) + (etag?.length ?? 0) + (fed?.length ?? 0);

/** The size of the texts of a row, as they go to the database. */
export const bytesOf = ({ json, etag, fed = '' }: Success): number =>
  (json === null ? 0 : Buffer.byteLength(json)) +
  (etag === null ? 0 : Buffer.byteLength(etag)) +
  Buffer.byteLength(fed);
