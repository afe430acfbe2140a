/**
 * Numbers (slots of members, seats of loops) by the time at which each is due, the earliest first. `agenda.ts` keeps
 * its waiting members here, `ring.ts` the loops of a node. Every number knows its place, so that one which changes or
 * leaves costs no walk.
 */
import { longer } from '../../lib/longer';

export class DueHeap {
  /** When each number is due. Stays what it was after the number has left. */
  due = new Float64Array(64);
  /** Place of each number in the heap, plus one; 0: not in it. */
  private place = new Int32Array(64);
  private heap: number[] = [];

  get size(): number {
    return this.heap.length;
  }

  /** When the earliest is due; Infinity when there is none. */
  get nextDue(): number {
    return this.heap.length > 0 ? this.due[this.heap[0]!]! : Infinity;
  }

  has(number: number): boolean {
    return number < this.place.length && this.place[number]! > 0;
  }

  /** Puts a number in, or moves the one that is in already. */
  set(number: number, due: number): void {
    this.reserve(number);
    const place = this.place[number]!;
    if (place === 0) {
      this.due[number] = due;
      this.heap.push(number);
      this.rise(this.heap.length - 1, number);
      return;
    }
    const before = this.due[number]!;
    if (due === before) return;
    this.due[number] = due;
    if (due < before) this.rise(place - 1, number);
    else this.sink(place - 1, number);
  }

  remove(number: number): void {
    if (!this.has(number)) return;
    const at = this.place[number]! - 1;
    this.place[number] = 0;
    const last = this.heap.pop()!;
    if (last === number) return;
    // The last one fills the gap, and may belong above or below it.
    if (at > 0 && this.due[this.heap[(at - 1) >> 1]!]! > this.due[last]!) this.rise(at, last);
    else this.sink(at, last);
  }

  /** Takes the earliest out if it is due by then; -1 when none is. */
  takeDue(now: number): number {
    if (this.heap.length === 0) return -1;
    const first = this.heap[0]!;
    if (this.due[first]! > now) return -1;
    this.place[first] = 0;
    const last = this.heap.pop()!;
    if (last !== first) this.sink(0, last);
    return first;
  }

  /** A copy: the heap may change while one goes through it. */
  numbers(): number[] {
    return this.heap.slice();
  }

  private rise(from: number, number: number): void {
    const { heap, due, place } = this;
    const at = due[number]!;
    let i = from;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent]!;
      if (due[above]! <= at) break;
      heap[i] = above;
      place[above] = i + 1;
      i = parent;
    }
    heap[i] = number;
    place[number] = i + 1;
  }

  private sink(from: number, number: number): void {
    const { heap, due, place } = this;
    const at = due[number]!;
    let i = from;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && due[heap[child + 1]!]! < due[heap[child]!]!) child++;
      const below = heap[child]!;
      if (due[below]! >= at) break;
      heap[i] = below;
      place[below] = i + 1;
      i = child;
    }
    heap[i] = number;
    place[number] = i + 1;
  }

  private reserve(number: number): void {
    if (number < this.place.length) return;
    const length = Math.max(number + 1, this.place.length * 2);
    this.due = longer(this.due, new Float64Array(length));
    this.place = longer(this.place, new Int32Array(length));
  }
}
