/**
 * Several nodes on one machine: a newcomer, a drain, a killed node. `BENCH_PART=join,kill` runs some parts only. The
 * servers, the upstream and all nodes share its cores, so what is read here is the worst of what users would see.
 */
import { runParts, type Parts } from '../../harness/parts';
import { defineScenario } from '../../harness/scenario';
import { attendance } from './attendance';
import { drain } from './drain';
import { join } from './join';
import { kill } from './kill';
import { living } from './living';
import { once } from './once';
import { questions } from './questions';

const PARTS: Parts = {
  ...{ join, drain, kill, questions, once, attendance, living },
};

export const scenario = defineScenario({
  title: 'several nodes: a newcomer has its share, a node is drained, a node is killed; questions, loading, attendance',
  run: (bench) => runParts(bench, PARTS),
});
