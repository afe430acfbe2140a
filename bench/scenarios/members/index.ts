/**
 * Members that receive: requests, messages, members that are made by their first one, and what that does to ids beside
 * them. `BENCH_PART=alone,many` runs some parts only, `BENCH_MEMBERS` and `BENCH_SECONDS` make them small. The servers,
 * the worker and the programs that send share the machine's cores.
 */
import { runParts, type Parts } from '../../harness/parts';
import { defineScenario } from '../../harness/scenario';
import { late } from './late';
import { besidePeers } from './peers';
import { alone, beside, many } from './requests';
import { send, spawn } from './sends';

const PARTS: Parts = {
  ...{ alone, beside, many, spawn, late, send },
};

export const scenario = defineScenario({
  title:
    'members that receive: requests, messages, spawning; with --peers a workflow a member with updates, and Restate',
  async run(bench) {
    const readings = await runParts(bench, PARTS);
    return bench.peers ? besidePeers(bench, readings) : readings;
  },
});
