/**
 * Time of the simulated budget: events in their order. Seconds of true time, from an epoch second on.
 */

// Bound once: under Jest each look at a global costs a microsecond.
const { max } = Math;

interface Event {
  at: number;
  order: number;
  run: () => void;
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

export class Events {
  private readonly heap: Event[] = [];
  private order = 0;

  constructor(public now: number) {}

  at(when: number, run: () => void): void {
    const event = { at: max(when, this.now), order: this.order++, run };
    let i = this.heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (isBefore(this.heap[parent]!, event)) break;
      this.heap[i] = this.heap[parent]!;
      i = parent;
    }
    this.heap[i] = event;
  }

  after(seconds: number, run: () => void): void {
    this.at(this.now + seconds, run);
  }

  /** Until it answers false. */
  every(seconds: number, first: number, run: () => boolean | void): void {
    const again = (): void => {
      if (run() !== false) this.after(seconds, again);
    };
    this.after(first, again);
  }

  runUntil(end: number): void {
    while (this.heap.length > 0 && this.heap[0]!.at <= end) {
      const event = this.take();
      this.now = event.at;
      event.run();
    }
    this.now = end;
  }

  private take(): Event {
    const { heap } = this;
    const top = heap[0]!;
    const last = heap.pop()!;
    let i = 0;
    while (heap.length > 0) {
      let child = 2 * i + 1;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (child >= heap.length || isBefore(last, heap[child]!)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    if (heap.length > 0) heap[i] = last;
    return top;
  }
}
