/**
 * Limits of upstreams: what they cost a fetch, how fast a refusal on one node stops the others, what a key takes, and
 * whether anything is refused while three nodes spend a bucket to its end. `BENCH_PART=cost,closing` runs some parts
 * only; `BENCH_WINDOW_S` and `BENCH_WINDOWS` make `windows` shorter.
 */
import { runParts, type Parts } from '../../harness/parts';
import { defineScenario } from '../../harness/scenario';
import { bytes } from './bytes';
import { closing } from './closing';
import { cost } from './cost';
import { windows } from './windows';

const PARTS: Parts = { cost, closing, bytes, windows };

export const scenario = defineScenario({
  title:
    'limits of upstreams: the cost of a fetch, a closing on three nodes, bytes of a key, windows spent to their end',
  run: (bench) => runParts(bench, PARTS),
});
