/**
 * The place that has nothing, as whoever asked meets it: how long it may take, and how to stand in its line. Made by
 * `spend.ts`.
 */
import { shownKey } from '../keys';
import type { Shortage, Waiter } from '../spender';
import type { LineWaiter } from './line';
import type { Place } from './place';

export class ShortPlace implements Shortage {
  readonly isShort = true;
  readonly limit: string;
  readonly key: string;

  constructor(
    readonly upstream: string,
    private readonly by: string,
    private readonly place: Place,
    /** All that the run spends from. */
    private readonly places: readonly Place[],
    /** The run that cannot begin makes that many, and the node wants them. */
    private readonly requests: number,
  ) {
    this.limit = place.limit.name;
    this.key = shownKey(place.key);
  }

  // Asked when somebody looks: one who waits looks later too.

  get isClosed(): boolean {
    return this.place.isClosed;
  }

  get waitMs(): number {
    return Math.ceil(this.place.wait * 1_000);
  }

  /** In the line of one; the others keep their part for it meanwhile, or it would never find tokens in all of them. */
  join(waiter: Waiter): () => void {
    const { place } = this;
    const own = new WaiterOfAll(waiter, this.by, this.requests);
    for (const other of this.places) if (other !== place) own.wants.push(other.want(own));
    const leave = place.join(own);
    return () => {
      own.release();
      leave();
    };
  }
}

/** One who waits in the line of one place, and keeps its part in others. */
class WaiterOfAll implements LineWaiter {
  readonly class: Waiter['class'];
  /** How to take back what it wants of each other place. */
  readonly wants: (() => void)[] = [];

  constructor(
    private readonly waiter: Waiter,
    readonly by: string,
    readonly need: number,
  ) {
    this.class = waiter.class;
  }

  get requests(): number {
    return this.waiter.requests * this.need;
  }

  wake(): void {
    this.release();
    this.waiter.wake();
  }

  release(): void {
    for (const end of this.wants.splice(0)) end();
  }
}
