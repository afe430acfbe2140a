/** The worker of the buffer's benchmark: every option as it is by default, a handler that does nothing but count. */
import { serve } from '../harness/child';
import { workerOf } from '../harness/worker';
import { benched, onHandled } from './definition';

let handled = 0;
let awaited: { count: number; reached: () => void } | undefined;
onHandled((count) => {
  handled += count;
  if (awaited && handled >= awaited.count) awaited.reached();
});

serve({
  start: workerOf(benched),
  /** Resolves when so many entries have been handled since the last call. */
  handled: async (count: number) => {
    if (handled < count) await new Promise<void>((reached) => (awaited = { count, reached }));
    awaited = undefined;
    handled -= count;
  },
});
