/**
 * The line of those who wait for one bucket, in the order of their classes. They are woken one after another while the
 * bucket has something: whoever is woken is out of the line, and reserves at once or does not. Kept by a `Place`.
 */
import { errorOf } from '../../../lib/failures';
import { CLASSES, ClassOrder, type Class, type Shares } from '../classes';
import type { Waiter } from '../spender';
import { Costs, Queue } from './queue';

/** A turn ends after so many wake-ups: timers and sockets come between. */
const TURN = 200;
/** Timers are no longer than this, milliseconds: a bucket that is closed for a week is looked at now and then. */
const LONGEST_MS = 60_000;
/** All who were woken found too little. Milliseconds until they are asked again, whatever else happens. */
const IN_VAIN_MS = 1_000;
/**
 * The next in line may need more than there is, which may be all that there will be. Nobody overtakes it for so long,
 * seconds: then it begins with one request.
 */
const PATIENCE = 4;

/** The bucket, as its line needs it. */
export interface Lined {
  /** Whether so many requests may go out now. */
  may(requests: number): boolean;
  /** Seconds until it is worth asking again; Infinity: something else will happen first. */
  readonly wait: number;
}

/** A waiter with the code that it waits for, and the requests for which it needs tokens at once. */
export type LineWaiter = Waiter & { readonly by?: string; readonly need?: number };

export class Line {
  private readonly costs: Costs;
  private readonly waiting: Record<Class, Queue>;
  private readonly order: ClassOrder;
  private soon: NodeJS.Immediate | undefined;
  private timer: NodeJS.Timeout | undefined;
  private timerAt = Infinity;
  private isServing = false;
  /** Waiters that were woken this turn and wait again. */
  private rejoined = 0;
  /** The one that the line saves up for, and since when. */
  private saving: { waiter: Waiter; since: number } | undefined;
  /** Requests for which the one who is woken may take tokens at once. */
  most = Infinity;

  constructor(
    private readonly bucket: Lined,
    shares: Shares | undefined,
    /** Seconds, monotonic. */
    private readonly now: () => number,
  ) {
    this.order = new ClassOrder(shares);
    this.costs = new Costs(now);
    this.waiting = { call: new Queue(this.costs), watch: new Queue(this.costs), bulk: new Queue(this.costs) };
  }

  /** Nobody may overtake those who wait; the one who was woken may take what it was woken for. */
  get isTaken(): boolean {
    return !this.isServing && this.size > 0;
  }

  get size(): number {
    return this.waiting.call.size + this.waiting.watch.size + this.waiting.bulk.size;
  }

  /** Requests that could be sent now. */
  get requests(): number {
    let sum = 0;
    for (const of of CLASSES) for (const { requests } of this.waiting[of]) sum += Math.max(1, requests);
    return sum;
  }

  /** Answers how to leave it. */
  join(waiter: LineWaiter): () => void {
    const leave = this.waiting[waiter.class].add(waiter, waiter.by ?? '');
    if (this.isServing) this.rejoined++;
    else this.look();
    return leave;
  }

  spent(by: Class, tokens: number): void {
    this.order.spent(by, tokens, this.now());
  }

  /** The answers of that code have cost so much. */
  paid(by: string, tokens: number): void {
    this.costs.paid(by, tokens);
  }

  /** The bucket may have something, or is open again. */
  stir(): void {
    if (this.size > 0) this.soon ??= setImmediate(() => this.serve());
  }

  /** Wakes those who wait, while there is something. */
  private serve(): void {
    this.soon = undefined;
    this.isServing = true;
    this.rejoined = 0;
    // Each at most once a turn: one that joins again at once has found that it needs more than there is.
    const most = Math.min(this.size, TURN);
    let woken = 0;
    try {
      for (let next = this.next(); woken < most && next !== undefined; next = this.next()) {
        this.waiting[next.class].take();
        woken++;
        this.most = this.bucket.may(next.need ?? 1) ? Infinity : 1;
        wake(next);
      }
    } finally {
      this.isServing = false;
      this.most = Infinity;
    }
    if (woken > 0 && this.rejoined >= woken) this.wakeIn(IN_VAIN_MS);
    else this.look();
  }

  /** The next waiter, if the bucket has enough for it, or for one request where it has waited for more. */
  private next(): LineWaiter | undefined {
    if (this.size === 0 || !this.bucket.may(1)) return undefined;
    const now = this.now();
    const of = this.order.first((one) => this.waiting[one].size > 0, now)!;
    const first: LineWaiter = this.waiting[of].peek()!;
    if (this.bucket.may(first.need ?? 1)) return first;
    if (this.saving?.waiter !== first) this.saving = { waiter: first, since: now };
    return now - this.saving.since >= PATIENCE ? first : undefined;
  }

  /** Comes again when there is something, or when time alone may bring it. */
  private look(): void {
    if (this.size === 0) return;
    if (this.next() !== undefined) {
      this.stir();
      return;
    }
    const { wait } = this.bucket;
    // It has some, and the first in line needs more: the next grant, or its patience, brings the next look.
    if (wait !== Infinity) this.wakeIn(wait > 0 ? wait * 1_000 : IN_VAIN_MS);
  }

  private wakeIn(wanted: number): void {
    const ms = Math.min(LONGEST_MS, Math.max(1, Math.ceil(wanted)));
    const at = this.now() + ms / 1_000;
    if (this.timer !== undefined && this.timerAt <= at + 0.001) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.serve();
    }, ms);
    this.timer.unref();
  }

  close(): void {
    clearImmediate(this.soon);
    clearTimeout(this.timer);
    this.soon = undefined;
    this.timer = undefined;
  }
}

/** One waiter that throws does not keep the others in the line. */
function wake(waiter: Waiter): void {
  try {
    waiter.wake();
  } catch (thrown) {
    // A mistake of ours, or an end of the process that is under way.
    process.emitWarning(`a waiter of a bucket failed: ${errorOf(thrown).stack ?? ''}`);
  }
}
