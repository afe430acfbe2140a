/** Memory that a worker has for each key and limit of 100,000 members with a bucket of their own. */
import path from 'node:path';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';

const MEMBERS = 100_000;

export async function bytes(bench: Bench): Promise<Reading[]> {
  const child = await bench.child(path.join(__dirname, '../../budget/bytes-process.ts'), {}, ['--expose-gc']);
  return [
    {
      measure: `memory of a member's bucket, ${MEMBERS.toLocaleString('en-US')} members`,
      ours: await child.call<number>('measure', MEMBERS),
      unit: 'B/key',
      target: '<= 100 B/key',
    },
  ];
}
