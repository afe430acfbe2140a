/**
 * Limits of upstreams: what they cost a fetch, how fast a refusal on one node stops the others, what a key takes, and
 * whether anything is refused while three nodes spend a bucket to its end. `BENCH_PART=cost,closing` runs some parts
 * only; `BENCH_WINDOW_S` and `BENCH_WINDOWS` make `windows` shorter.
 */
import { defineScenario, type Reading } from '../../harness/scenario';
import type { Bench } from '../../harness/bench';
import { bytes } from './bytes';
import { closing } from './closing';
import { cost } from './cost';
import { windows } from './windows';

const PARTS: Record<string, (bench: Bench) => Promise<Reading[]>> = { cost, closing, bytes, windows };

export const scenario = defineScenario({
  title:
    'limits of upstreams: the cost of a fetch, a closing on three nodes, bytes of a key, windows spent to their end',
  async run(bench) {
    const wanted = process.env.BENCH_PART?.split(',') ?? Object.keys(PARTS);
    const readings: Reading[] = [];
    for (const name of wanted) {
      const part = PARTS[name];
      if (!part) throw new TypeError(`there is no part '${name}': ${Object.keys(PARTS).join(', ')}`);
      readings.push(...(await part(bench)));
    }
    return readings;
  },
});
