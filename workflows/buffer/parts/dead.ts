/**
 * The part of a shard that buries dead entries and takes out those that an operator wants back. Called by `shard.ts`;
 * what that changes is decided in `dead-letters.ts`.
 */
import { proxyActivities } from '@temporalio/workflow';
import { RETRY_ONCE } from '../../lib/retry';
import type { BufferActivities } from '../activities';
import { beginBury, endBury, revive } from '../dead-letters';
import { SHARD_TUNABLES } from '../tunables';
import { underFlag, type Part } from './part';

const { buryEntries, takeDead } = proxyActivities<BufferActivities>({
  startToCloseTimeout: SHARD_TUNABLES.storeMs,
  retry: RETRY_ONCE,
});

export class DeadLetters {
  readonly moment = { burying: false, reviving: false };

  constructor(private readonly part: Part) {}

  bury(): Promise<void> {
    const { state, where } = this.part;
    const { chunks, bytes } = beginBury(state);
    this.part.spent(bytes);
    return underFlag(this.part, this.moment, 'burying', () => buryEntries({ ...where, chunks }), {
      done: () => endBury(state, chunks.length),
    });
  }

  /** The next page of the oldest command. */
  revive(): Promise<void> {
    const { state, index, where } = this.part;
    const command = state.deadOrders[0]!;
    const { op, action, page } = command;
    return underFlag(this.part, this.moment, 'reviving', () => takeDead({ ...where, op, action, page }), {
      done: (found) => {
        if (found.count === 0) state.deadOrders.shift();
        else revive(state, index, found, command);
        command.page++;
      },
    });
  }
}
