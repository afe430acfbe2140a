/**
 * The cost of a node that has nothing to do: thousands of pools, no member due; and the same after an upstream asked
 * for a hold.
 */
import path from 'node:path';
import { defineScenario } from '../harness/scenario';
import type { NodeSetup } from '../tracker/node-process';

const POOLS = 2_000;
const OPERATIONS = 6;
const SECONDS = 20;

export const scenario = defineScenario({
  title: `processor time of a node with ${POOLS} pools of ${OPERATIONS} operations and nothing due`,
  async run(bench) {
    const stack = await bench.stack();
    const node = await bench.child(path.join(__dirname, '../tracker/node-process.ts'));
    const idle = { name: 'idle', pools: POOLS, members: 5, operations: OPERATIONS, every: '30d', timeout: '5s' };
    bench.say(`${POOLS} pools are taken`);
    await node.call('start', {
      databaseUrl: stack.servers.databaseUrl,
      places: 2_000,
      trackers: [idle],
    } satisfies NodeSetup);
    const share = async (): Promise<number> => {
      await bench.sleep(3_000);
      const [before, began] = [await node.call<number>('cpu'), performance.now()];
      await bench.sleep(SECONDS * 1_000);
      return (100 * ((await node.call<number>('cpu')) - before)) / (performance.now() - began);
    };
    const plain = await share();
    await node.call('hold', 'idle');
    const held = await share();
    return [
      {
        measure: `idle: ${POOLS} pools of ${OPERATIONS} operations, of a core`,
        ours: plain,
        unit: '%',
        target: '<= 5 %',
        note: 'idle: processor time of a process with the node alone (its ring, flush and checks of fences), without the SDK and its heartbeats',
      },
      { measure: 'idle: the same while an operation is on hold', ours: held, unit: '%', target: '<= 5 %' },
    ];
  },
});
