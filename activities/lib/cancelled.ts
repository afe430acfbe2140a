/**
 * Tells a cancellation that somebody asked for from one that only says that Temporal cannot be reached, or does not
 * know the activity any more. The fence decides then, and the work goes on. Asked by whoever works for longer than an
 * outage of Temporal lasts: `tracker/shift/end-watch.ts` and `job/pass.ts`.
 */
import type { ActivityCancellationDetails } from '@temporalio/common';

/** @returns undefined: nobody has asked for its end. */
export function endAskedFor(details: ActivityCancellationDetails | undefined): 'handed back' | 'asked' | undefined {
  if (details?.workerShutdown) return 'handed back';
  return details?.cancelRequested || details?.paused || details?.reset ? 'asked' : undefined;
}
