/** The worker of the scenario `outage`: a handler that notes which entries it was given. */
import { serve } from '../harness/child';
import { workerOf } from '../harness/worker';
import { onHandled, outaged } from './definition';

/** Numbers of entries, each once: a batch may come twice. */
const seen = new Map<string, Set<number>>();
onHandled((buffer, entries) => {
  const numbers = seen.get(buffer) ?? new Set();
  seen.set(buffer, numbers);
  for (const { n } of entries) numbers.add(n);
});

serve({
  start: workerOf(outaged),
  /** How many entries have been handled so far. */
  handled: (buffer: string) => seen.get(buffer)?.size ?? 0,
  /** How many of these (each a first number and how many) have been handled. */
  handledOf: (buffer: string, ranges: readonly [number, number][]) => {
    const numbers = seen.get(buffer) ?? new Set();
    let found = 0;
    for (const [first, count] of ranges) for (let n = first; n < first + count; n++) if (numbers.has(n)) found++;
    return found;
  },
});
