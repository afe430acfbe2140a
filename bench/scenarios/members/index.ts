/**
 * Members that receive: requests, messages, members that are made by their first one, and what that does to ids beside
 * them. `BENCH_PART=alone,many` runs some parts only, `BENCH_MEMBERS` and `BENCH_SECONDS` make them small. The servers,
 * the worker and the programs that send share the machine's cores.
 */
import { defineScenario, type Reading } from '../../harness/scenario';
import type { Bench } from '../../harness/bench';
import { late } from './late';
import { alone, beside, many } from './requests';
import { send, spawn } from './sends';
import { updates } from './updates';

const PARTS: Record<string, (bench: Bench) => Promise<Reading[]>> = {
  ...{ alone, beside, many, spawn, late, send },
};

export const scenario = defineScenario({
  title: 'members that receive: requests, messages, spawning; with --peers a workflow a member with updates',
  async run(bench) {
    const wanted = process.env.BENCH_PART?.split(',') ?? Object.keys(PARTS);
    const readings: Reading[] = [];
    for (const name of wanted) {
      const part = PARTS[name];
      if (!part) throw new TypeError(`there is no part '${name}': ${Object.keys(PARTS).join(', ')}`);
      readings.push(...(await part(bench)));
    }
    return bench.peers ? updates(bench, readings) : readings;
  },
});
