/**
 * How long Temporal has not been reached: for the node's row (`longwatch nodes` says it), and since nothing is given to
 * another node meanwhile. Asked each second. Made by `own-node.ts`.
 */
import { performance } from 'node:perf_hooks';
import { Background } from '../activities/lib/service';
import type { TemporalLink } from '../activities/lib/temporal';

const LOOK_MS = 1_000;

export class TemporalWatch extends Background {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  /** Monotonic; of the first question without an answer. */
  private refusedAt: number | undefined;

  constructor(private readonly link: Pick<TemporalLink, 'reachable'>) {
    super();
  }

  /** Milliseconds; undefined: it answers. */
  get refusedMs(): number | undefined {
    return this.refusedAt === undefined ? undefined : performance.now() - this.refusedAt;
  }

  look(): Promise<void> {
    this.looking ??= this.ask().finally(() => (this.looking = undefined));
    return this.looking;
  }

  protected open(): Promise<void> {
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    return Promise.resolve();
  }

  protected async close(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  private async ask(): Promise<void> {
    const askedAt = performance.now();
    if (await this.link.reachable()) this.refusedAt = undefined;
    else this.refusedAt ??= askedAt;
  }
}
