/**
 * The part of a shard that runs its batches: each goes out as an activity, and every way it can end is settled, once.
 * Called by `shard.ts`; `next-batch.ts` says what is in a batch, `settle.ts` what becomes of it.
 */
import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  log,
  proxyActivities,
  TimeoutFailure,
} from '@temporalio/workflow';
import { ErrorType } from '../../lib/errors';
import { RETRY_ONCE } from '../../lib/retry';
import type { BatchResult, BufferActivities } from '../activities';
import { batchInput, takeBatch } from '../next-batch';
import { settle } from '../settle';
import { failureText, type Part } from './part';
import { SHARD_TUNABLES } from '../tunables';

export class Batches {
  readonly moment = { takingBack: false };
  private readonly scopes = new Map<number, CancellationScope>();

  constructor(private readonly part: Part) {}

  /** One batch, from the queue to what became of it. */
  async run(): Promise<void> {
    const { part, scopes } = this;
    const { state, index, where } = part;
    const { number: id, batch, bytes } = takeBatch(state, index, Date.now());
    part.spent(bytes);
    const scope = new CancellationScope();
    scopes.set(id, scope);
    let outcome: BatchResult['outcome'];
    try {
      const { timeoutMs, heartbeatTimeoutMs } = state.options;
      const { runBatch } = proxyActivities<BufferActivities>({
        startToCloseTimeout: timeoutMs + SHARD_TUNABLES.marginMs,
        heartbeatTimeout: heartbeatTimeoutMs,
        cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary: `batch ${id}: ${batch.count} entries`,
        // The same batch again after a lost worker; `settle.ts` decides about a batch that then still fails.
        retry: RETRY_ONCE,
      });
      outcome = (await scope.run(() => runBatch(batchInput(state, where, id)))).outcome;
    } catch (error) {
      outcome = outcomeOf(error);
    }
    scopes.delete(id);
    settle(state, index, id, outcome, Date.now());
    if (outcome.kind === 'failed') log.warn('A batch failed', { ...where, batch: id, error: outcome.error });
    part.happened();
  }

  /** Asks the batches that run to give back what they have: the run must end. */
  takeBack(): void {
    this.moment.takingBack = true;
    for (const scope of this.scopes.values()) scope.cancel();
  }
}

/**
 * The outcome of a batch whose activity has failed: its worker is gone, none knows the buffer, or PostgreSQL is away.
 */
function outcomeOf(error: unknown): BatchResult['outcome'] {
  if (isCancellation(error)) return { kind: 'held', error: 'taken back', forMs: 0 };
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) {
    const later = { kind: 'held', error: cause.message, forMs: SHARD_TUNABLES.heldMs } as const;
    if (cause.type === ErrorType.StoreUnavailable) return { ...later, store: true };
    if (cause.type === ErrorType.NotDefinedHere) return later;
  }
  const late = cause instanceof TimeoutFailure && cause.timeoutType === 'START_TO_CLOSE';
  return { kind: 'failed', error: failureText(error), tooLarge: late, final: false };
}
