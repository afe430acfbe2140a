/** Time in the simulated cluster: what happens when, in order. Times in milliseconds. */
interface Event {
  at: number;
  order: number;
  run: () => void;
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

export class EventQueue {
  now = 0;
  private order = 0;
  /** A binary heap, the next one first. */
  private readonly heap: Event[] = [];

  in(ms: number, run: () => void): void {
    const { heap } = this;
    const event = { at: this.now + Math.max(0, ms), order: this.order++, run };
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, event)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  /** Lets what is due until then happen. */
  runUntil(ms: number): void {
    while (this.heap.length > 0 && this.heap[0]!.at <= ms) {
      const event = this.pop();
      this.now = event.at;
      event.run();
    }
    this.now = Math.max(this.now, ms);
  }

  private pop(): Event {
    const { heap } = this;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (child >= heap.length || isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
