/**
 * Several nodes on one machine: a newcomer, a drain, a killed node. `BENCH_PART=join,kill` runs some parts only. The
 * servers, the upstream and all nodes share its cores, so what is read here is the worst of what users would see.
 */
import { defineScenario, type Reading } from '../../harness/scenario';
import type { Bench } from '../../harness/bench';
import { attendance } from './attendance';
import { drain } from './drain';
import { join } from './join';
import { kill } from './kill';
import { living } from './living';
import { once } from './once';
import { questions } from './questions';

const PARTS: Record<string, (bench: Bench) => Promise<Reading[]>> = {
  ...{ join, drain, kill, questions, once, attendance, living },
};

export const scenario = defineScenario({
  title: 'several nodes: a newcomer has its share, a node is drained, a node is killed; questions, loading, attendance',
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
