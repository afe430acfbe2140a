/**
 * When a node flushes: at the shortest interval of its shifts, at once where a change was announced to one of them,
 * again where something is left. Called by the node and by shifts that end; `flush.ts` is the flush itself, on a
 * connection that nobody else can take.
 */
import { performance } from 'node:perf_hooks';
import { errorOf } from '../../lib/failures';
import type { Database } from '../../lib/database';
import type { Service } from '../../lib/service';
import { Flush, type Flushed } from './flush';
import type { FlushHost } from './portion';

/**
 * A shift that has written nothing is still checked this often, milliseconds: it learns within that time what changed.
 */
const CHECK_MS = 1_000;
/** After a flush that failed, the next one waits this long. */
const RETRY_MS = 250;
/** However many changes are announced: not more often than this. */
const HINT_MS = 20;

export interface WriterHost extends FlushHost {
  /** Told after each flush: how many rows, how long, or why it failed. */
  flushed(outcome: { rows: number; ms: number } | { error: Error }): void;
}

export class Writer implements Service {
  private readonly flushOf: Flush;
  private timer: NodeJS.Timeout | undefined;
  /** When the timer comes, and when the last flush began; monotonic. */
  private due = Infinity;
  private began = -Infinity;
  private flushing: Promise<Flushed> | undefined;
  private again = false;
  /** The next flush tries those too that failed alone just now. */
  private everybody = false;
  private closed = false;

  constructor(
    database: Pick<Database, 'transaction'>,
    private readonly host: WriterHost,
  ) {
    this.flushOf = new Flush(database, host);
  }

  start(): Promise<void> {
    this.schedule(0);
    return Promise.resolve();
  }

  /**
   * Flushes now, or right after the flush that is under way. Resolves when what there was at the call is written or
   * refused.
   */
  async flush(): Promise<void> {
    this.everybody = true;
    await this.flushing;
    for (;;) {
      const { more, error } = await (this.flushing ?? this.begin());
      if (!more || error) return;
    }
  }

  /** A change was announced to a shift, which has been marked: look soon. */
  hint(): void {
    if (this.flushing) this.again = true;
    else this.schedule(this.hintIn());
  }

  async stop(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.flushing;
  }

  private schedule(ms: number): void {
    const due = performance.now() + ms;
    if (this.closed || (this.timer !== undefined && this.due <= due)) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => void (this.flushing ?? this.begin()), ms);
  }

  private begin(): Promise<Flushed> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.again = false;
    this.began = performance.now();
    this.flushing = this.flushOnce()
      .catch((thrown: unknown) => this.unexpected(thrown))
      .then((flushed) => {
        this.flushing = undefined;
        const { more, error } = flushed;
        this.schedule(error ? RETRY_MS : more ? 0 : this.again ? this.hintIn() : this.interval());
        return flushed;
      });
    return this.flushing;
  }

  /** A mistake of ours must not end the flushes of a node. */
  private unexpected(thrown: unknown): Flushed {
    const error = errorOf(thrown);
    this.host.log.error({ err: error }, 'a flush broke off');
    this.host.flushed({ error });
    return { rows: 0, more: false, error };
  }

  private hintIn(): number {
    return Math.max(0, this.began + HINT_MS - performance.now());
  }

  private interval(): number {
    let shortest = CHECK_MS;
    for (const shift of this.host.shifts) shortest = Math.min(shortest, shift.options.flushMs);
    return shortest;
  }

  private async flushOnce(): Promise<Flushed> {
    const { began } = this;
    const shifts = [...this.host.shifts].filter(
      (shift) => !shift.isBroken && (shift.hinted || shift.hasResults || began - shift.checkedAt >= CHECK_MS * 0.9),
    );
    if (shifts.length === 0) return { rows: 0, more: false };
    for (const shift of shifts) {
      shift.hinted = false;
      if (this.everybody) shift.refusals.notBefore = 0;
    }
    this.everybody = false;
    const flushed = await this.flushOf.run(shifts);
    const { rows, error } = flushed;
    this.host.flushed(error ? { error } : { rows, ms: performance.now() - began });
    return flushed;
  }
}
