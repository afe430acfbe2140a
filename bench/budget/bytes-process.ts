/** The memory of a shift's buckets of its members, in a process of its own (`scenarios/budget/bytes.ts`). */
import { pino } from 'pino';
import { limitOf } from '../../activities/upstream/budget/limit';
import { NodeSpender } from '../../activities/upstream/budget/node/spender';
import { serve } from '../harness/child';

const log = pino({ level: 'fatal' });
const kept: unknown[] = [log];

/** Bytes of each member's bucket, each having been spent from. */
function measure(members: number): number {
  const now = Date.now() / 1_000;
  const clocks = { monotonic: () => now, wall: () => now };
  const spender = new NodeSpender(
    { clocks, now: () => now, process: 'bench', address: 'here' },
    { urge: () => undefined, tellClosing: () => undefined },
  );
  spender.define({
    name: 'bench',
    limits: [
      {
        name: 'group',
        rule: limitOf({ tokens: 150, window: 900, greatestCost: 5 }),
        scope: 'member',
        key: ({ id }) => id,
        secret: false,
        cost: () => 2,
        format: null,
      },
    ],
  });
  const used = (): number => {
    globalThis.gc!();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  // The code itself is compiled, and its first arrays are there.
  spend(spender, 1_000);
  const before = used();
  kept.push(spend(spender, members));
  return (used() - before) / members;
}

function spend(spender: NodeSpender, members: number): unknown {
  const purse = spender.purse(members);
  for (let slot = 0; slot < members; slot++) {
    purse.load(slot, [], true);
    const run = spender.reserve('bench', { class: 'watch', by: 'bench/look', id: `m${slot}`, purse, slot }, 1);
    if (run.isShort) throw new Error('it has some');
    const drawn = run.draw({ method: 'GET', path: '/look' });
    if (drawn.isShort) throw new Error('it has some');
    drawn.report({ status: 200, header: () => undefined });
    run.end();
  }
  return purse;
}

serve({ measure });
