/**
 * How long the command line takes to answer, from the shell's view: verbs that only read PostgreSQL, against Node that
 * does nothing. The built program, as it is installed; the servers are up and empty.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { defineScenario, type Reading } from '../harness/scenario';

const TIMES = 15;
const PROGRAM = path.join(__dirname, '../../bin/longwatch.js');
const VERBS = ['--version', 'status', 'pools none', 'dead list none', 'leases'];

export const scenario = defineScenario({
  title: 'how long verbs that only read take to answer, against `node -e 0`',
  async run(bench) {
    if (!existsSync(path.join(__dirname, '../../dist')))
      throw new Error('there is no dist; make it with: npm run build');
    const { servers } = await bench.stack();
    const env = { PATH: process.env.PATH, HOME: '/nonexistent', DATABASE_URL: servers.databaseUrl };
    const readings: Reading[] = [];
    for (const verb of VERBS) {
      const ours: number[] = [];
      const bare: number[] = [];
      // In turn, so that what else the machine does meets both.
      for (let time = 0; time < TIMES; time++) {
        bare.push(await timeOf(['-e', '0'], env));
        ours.push(await timeOf([PROGRAM, ...verb.split(' ')], env));
      }
      readings.push({
        measure: `longwatch ${verb}, median`,
        ours: median(ours),
        unit: 'ms',
        reference: median(bare),
        referenceName: 'node -e 0',
        target: '<= 350 ms',
      });
    }
    return readings;
  },
});

async function timeOf(args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const began = performance.now();
  // A name that is not there ends with a message and a status, as quickly as an answer.
  await promisify(execFile)(process.execPath, args, { env }).catch(() => undefined);
  return performance.now() - began;
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
