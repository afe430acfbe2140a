/**
 * Two lines, first in, first out: of slots that are due (`agenda.ts`), where one may leave from the middle, and of
 * anything (`ring.ts`). Both are bounded by what stands in them, however long they are never empty.
 */
import { longer } from '../../lib/longer';

/**
 * A line of slots in a ring that grows. One that leaves makes a gap, which is passed over once; leaving costs no walk.
 */
export class Line {
  private items = new Int32Array(64);
  /** The place of each slot in the ring, plus one; 0: nowhere. */
  private place = new Int32Array(64);
  private first = 0;
  private count = 0;
  private gaps = 0;

  get length(): number {
    return this.count - this.gaps;
  }

  push(slot: number): void {
    if (this.count === this.items.length) this.grow();
    this.reserve(slot);
    const at = (this.first + this.count) % this.items.length;
    this.items[at] = slot;
    this.place[slot] = at + 1;
    this.count++;
  }

  /** Goes before all others. */
  unshift(slot: number): void {
    if (this.count === this.items.length) this.grow();
    this.reserve(slot);
    this.first = (this.first + this.items.length - 1) % this.items.length;
    this.items[this.first] = slot;
    this.place[slot] = this.first + 1;
    this.count++;
  }

  /** The next in line, which stays there; -1 when there is none. */
  head(): number {
    while (this.count > 0 && this.items[this.first]! < 0) {
      this.advance();
      this.gaps--;
    }
    return this.count > 0 ? this.items[this.first]! : -1;
  }

  shift(): number {
    const slot = this.head();
    if (slot < 0) return -1;
    this.place[slot] = 0;
    this.advance();
    return slot;
  }

  drop(slot: number): void {
    const place = slot < this.place.length ? this.place[slot]! : 0;
    if (place === 0) return;
    this.place[slot] = 0;
    this.items[place - 1] = -1;
    this.gaps++;
  }

  forEach(visit: (slot: number) => void): void {
    for (let i = 0; i < this.count; i++) {
      const slot = this.items[(this.first + i) % this.items.length]!;
      if (slot >= 0) visit(slot);
    }
  }

  private advance(): void {
    this.first = (this.first + 1) % this.items.length;
    this.count--;
  }

  private grow(): void {
    const items = new Int32Array(this.items.length * 2);
    let count = 0;
    for (let slot = this.shift(); slot >= 0; slot = this.shift()) {
      items[count] = slot;
      this.place[slot] = ++count;
    }
    this.items = items;
    this.first = 0;
    this.count = count;
    this.gaps = 0;
  }

  private reserve(slot: number): void {
    if (slot < this.place.length) return;
    this.place = longer(this.place, new Int32Array(Math.max(slot + 1, this.place.length * 2)));
  }
}

/** A line of anything. */
export class Fifo<T> {
  private items: (T | undefined)[] = [];
  private first = 0;

  get length(): number {
    return this.items.length - this.first;
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    if (this.first === this.items.length) return undefined;
    const item = this.items[this.first];
    this.items[this.first++] = undefined;
    // The part that has been passed is cut off once it is the larger part, also where the line is never empty.
    if (this.first >= 64 && this.first * 2 >= this.items.length) {
      this.items = this.items.slice(this.first);
      this.first = 0;
    }
    return item;
  }
}
