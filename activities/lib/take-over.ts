/**
 * Takes a fence from whoever has it: the one loop for pools and jobs. A run of a workflow may take it from an older
 * attempt of its own by its numbers alone; from another run only where Temporal says that ours is the current one, for
 * the numbers of two runs say nothing of each other. Called by `tracker/store/fence.ts` and `job/store/fence.ts`.
 */

/** The holder may change between the look and the taking; it is looked at again so often. */
const TRIES = 3;

export interface TakeOver<Fence> {
  /** The run that wants it. */
  runId: string;
  /** The run that has it; null: none. */
  holder: () => Promise<string | null>;
  /** Asks Temporal whether the run that wants it is the current one of its workflow. */
  isCurrent: () => Promise<boolean>;
  /** @param other the run that Temporal has declared over, null: none. @returns undefined: it was not given */
  take: (other: string | null) => Promise<Fence | undefined>;
}

/** @returns why it was not given: its run is `over`, or its claim is `older` than the holder's. */
export async function takeOver<Fence>(steps: TakeOver<Fence>): Promise<{ fence: Fence } | 'over' | 'older'> {
  for (let tries = 0; tries < TRIES; tries++) {
    const holder = await steps.holder();
    const other = holder === steps.runId ? null : holder;
    if (other !== null && !(await steps.isCurrent())) return 'over';
    const fence = await steps.take(other);
    if (fence !== undefined) return { fence };
    // Either ours is the older claim, or the holder changed in between and is looked at again.
    if (other === null) break;
  }
  return 'older';
}
