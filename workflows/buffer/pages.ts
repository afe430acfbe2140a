/**
 * The part of a buffer's parent (`buffer.ts`) that reads the pages of `init`, one at a time, and knows when the next
 * pass over its source begins. `init.ts` decides whether there is room for one.
 */
import { CancellationScope, isCancellation, log, proxyActivities, sleep } from '@temporalio/workflow';
import { RETRY } from '../lib/retry';
import type { BufferActivities, BufferOpening } from './activities';
import type { BufferRun } from './buffer-run';
import type { ShardRoom } from './contract';
import { beginPass, nextInitStep, pageLimit, pageRead, roomTold, shardsOf } from './init';
import { BUFFER_TUNABLES } from './tunables';

/** A page that fails is read again, from its cursor, after a while. */
const { readInitPage } = proxyActivities<BufferActivities>({
  startToCloseTimeout: BUFFER_TUNABLES.pageMs,
  heartbeatTimeout: BUFFER_TUNABLES.pageHeartbeatMs,
  retry: { ...RETRY, maximumInterval: BUFFER_TUNABLES.pageRetryAtMostMs },
});

export class Pages {
  private scope: CancellationScope | undefined;
  /** The next pass begins then, and not before. */
  private passAtMs: number | undefined;

  constructor(private readonly run: BufferRun) {}

  get isReading(): boolean {
    return this.scope !== undefined;
  }

  /** When the loop looks again by itself; undefined: only what happens ends its wait. */
  get untilMs(): number | undefined {
    return this.passAtMs;
  }

  /** Sets the clock of the next pass when there is something to wait for, and says when it has come. */
  next(opened: BufferOpening): 'read' | 'beginPass' | 'wait' {
    const step = nextInitStep(this.run.state, opened.options, opened.state !== 'running');
    if (typeof step === 'string') {
      this.passAtMs = undefined;
      return step;
    }
    this.passAtMs ??= Date.now() + step.pollInMs;
    return Date.now() >= this.passAtMs ? 'beginPass' : 'wait';
  }

  beginPass(): void {
    this.passAtMs = undefined;
    beginPass(this.run.state);
  }

  /** A shard has said how much room it has. */
  heard(room: ShardRoom): void {
    roomTold(this.run.state, room);
    if (room.waiting > 0) this.passAtMs = undefined;
    this.run.wake();
  }

  /** One page, from `init` to the shards: the next one is read from after it. */
  async read(opened: BufferOpening): Promise<void> {
    const scope = new CancellationScope();
    this.scope = scope;
    await scope
      .run(() => this.readOrPause(opened))
      // The buffer is stopped: the page is read, or sent again, by the next start.
      .catch(() => undefined);
    this.scope = undefined;
    this.run.wake();
  }

  giveUp(): void {
    this.scope?.cancel();
  }

  private async readOrPause({ options }: BufferOpening): Promise<void> {
    const { name, state } = this.run;
    const { pass, page, cursor } = state.init;
    const seqs = Array.from({ length: state.shards }, (_, i) => (state.seqs[i] ?? 0) + 1);
    const where = { buffer: name, pass, page, cursor, shards: shardsOf(options), seqs, limit: pageLimit(options) };
    try {
      pageRead(state, await readInitPage(where));
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.error('A page of init could not be read; trying again in 10 s', { buffer: name, error });
      await sleep(BUFFER_TUNABLES.failedPauseMs);
    }
  }
}
