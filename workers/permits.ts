/**
 * The slot supplier of the SDK's workers that take shifts. The SDK asks for a permit before each poll, and a poll that
 * is out brings what comes, wanted or not; so a permit waits until the node wants a shift (`shift/openings.ts`). Given
 * to the SDK by `sdk-workers.ts`.
 */
import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit, SlotReserveContext } from '@temporalio/worker';

/** The part of a node that says whether it wants shifts. */
export interface Wants {
  /** Whether it wants one of this queue now. */
  readonly isOpen: boolean;
  /** @param changed called when the answer may be another one. @returns ends that */
  listen(changed: () => void): () => void;
}

export class ShiftPermits implements CustomSlotSupplier<ActivitySlotInfo> {
  readonly type = 'custom';

  constructor(private readonly wants: Wants) {}

  /** Resolves when the node wants a shift; rejects when the SDK does not want the permit any more. */
  reserveSlot(_context: SlotReserveContext, signal: AbortSignal): Promise<SlotPermit> {
    return new Promise((resolve, reject) => {
      let ends = (): void => undefined;
      const look = (): void => {
        if (!signal.aborted && !this.wants.isOpen) return;
        ends();
        signal.removeEventListener('abort', look);
        // The SDK tells its own reason from a fault by its identity.
        if (signal.aborted) reject(signal.reason as Error);
        else resolve({});
      };
      signal.addEventListener('abort', look);
      ends = this.wants.listen(look);
      look();
    });
  }

  /** Asked for tasks that skip the queue: there are none, and the server is to spread the shifts. */
  tryReserveSlot(): null {
    return null;
  }

  /** The node counts its shifts itself. */
  markSlotUsed(): void {}
  releaseSlot(): void {}
}
