/**
 * A binary heap: what comes first by a number, the smallest. `mailbox.ts` has its streams in one, `pool-members.ts` the
 * times at which members wake. An item that has changed is put in again; its reader looks whether it still holds.
 */
export class Heap<T> {
  private readonly items: { order: number; item: T }[] = [];

  get size(): number {
    return this.items.length;
  }

  /** The number of the first one; Infinity: there is none. */
  get first(): number {
    return this.items[0]?.order ?? Infinity;
  }

  push(order: number, item: T): void {
    const { items } = this;
    const one = { order, item };
    let at = items.push(one) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (items[parent]!.order <= order) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = one;
  }

  pop(): T | undefined {
    const { items } = this;
    const first = items[0];
    const last = items.pop();
    if (!first || !last || items.length === 0) return first?.item;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < items.length && items[child + 1]!.order < items[child]!.order) child++;
      if (child >= items.length || last.order <= items[child]!.order) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return first.item;
  }
}
