/**
 * A shard and its store through random histories (`shard-world.ts`): sizes from 1 byte to 1 MB, everything overlapping,
 * outages, lost answers, resets. After each step the promises hold: the sum of counts, where each accepted entry is,
 * order, nothing above a limit.
 */
import { simulate } from '../support/simulate';
import type { WorldOptions } from './shard-tasks';
import { ShardWorld } from './shard-world';
import { expand, sizedBytes, type Sized } from './sizes';

jest.mock('../../workflows/lib/size', () => ({
  ...jest.requireActual<object>('../../workflows/lib/size'),
  jsonBytes: jest.requireActual<{ sizedBytes: unknown }>('./sizes').sizedBytes,
}));

/** Small ones mostly, as it is; now and then one of any size up to `most`. */
function size(next: () => number, most: number): number {
  return Math.max(1, Math.floor(next() < 0.7 ? next() * 200 : Math.exp(next() * Math.log(most))));
}

function live(world: ShardWorld, acts: number): void {
  const { draw } = world;
  const one = <T>(list: T[]): T | undefined => list[Math.floor(draw.next() * list.length)];
  world.verdict = () => {
    const which = draw.next();
    return which < 0.75 ? 'done' : which < 0.85 ? 'again' : which < 0.92 ? 'off' : 'changed';
  };
  world.batchFate = () => {
    const which = draw.next();
    return which < 0.8
      ? 'answers'
      : which < 0.9
        ? 'throws'
        : which < 0.94
          ? 'holds'
          : which < 0.97
            ? 'tooLarge'
            : 'lost';
  };
  for (let i = 0; i < acts; i++) {
    if (world.isTerminated) {
      world.reset();
      continue;
    }
    const which = draw.next();
    if (which < 0.3) {
      push(world);
    } else if (which < 0.55) {
      const op = one(world.ops.filter(({ result }) => !result));
      if (op) world.happen(op, draw.chance(0.05));
    } else if (which < 0.8) {
      const op = one(world.ops.filter(({ result }) => result));
      if (op) world.answer(op);
    } else if (which < 0.92) {
      world.now += Math.floor(Math.exp(draw.next() * Math.log(3_000)));
      world.work();
    } else if (which < 0.94) {
      // Two minutes at most.
      world.outageUntil = world.now + Math.floor(draw.next() * 120_000);
    } else if (which < 0.955) {
      world.outageUntil = 0;
    } else if (which < 0.965) {
      world.resetAfterTask = true;
    } else if (which < 0.972) {
      world.state.shrunk = !world.state.shrunk;
    } else if (which < 0.98) {
      world.state.paused = !world.state.paused;
    } else if (which < 0.985) {
      world.state.stopped = true;
      world.work();
    } else if (which < 0.99) {
      world.state.deadOrders.push({ op: 'op', action: 'retry', page: 0, ...(draw.chance(0.3) ? { front: true } : {}) });
      world.work();
    } else if (which < 0.995 && world.of.vanishing) {
      world.vanish();
    } else {
      world.state.flushBelow = world.state.nextEntry;
      world.work();
    }
  }
}

function push(world: ShardWorld): void {
  const { draw } = world;
  const large = draw.chance(0.05);
  const how = {
    ...(draw.chance(0.15) ? { front: true } : {}),
    ...(draw.chance(0.15) ? { at: world.now + Math.floor(draw.next() * 5_000) } : {}),
    // Senders store what is large; by hand anything may come.
    by:
      large && draw.chance(0.8)
        ? ('row' as const)
        : draw.chance(0.4) && !world.isAway
          ? ('signal' as const)
          : ('update' as const),
  };
  const sizes = large
    ? [size(() => 1 - draw.next() * 0.3, 1_000_000)]
    : Array.from({ length: 1 + Math.floor(draw.next() * 40) }, () => size(() => draw.next(), 64_000));
  let total = 0;
  const fits = sizes.filter((bytes) => large || (total += bytes + 1) < 128 * 1024);
  world.push(fits, how);
  if (draw.chance(0.7)) world.work();
}

const worlds: [string, WorldOptions][] = [
  ['without keys', { keyed: false }],
  ['with keys', { keyed: true }],
  ['whose rows go missing', { keyed: true, vanishing: true }],
  ['that is ordered', { keyed: false, options: { ordered: true, maxConcurrency: 1 } }],
];
const total = { runs: 0, resets: 0, ended: 0, dead: 0 };

describe.each(worlds)('a shard %s', (_, of) => {
  simulate(
    'keeps its promises, whatever overlaps',
    (seed) => {
      const world = new ShardWorld(seed, of);
      live(world, 150);
      world.drain();
      world.promises.census();
      total.runs += world.runs;
      total.resets += world.resets;
      total.ended += world.ended;
      total.dead += world.pg.dead.size;
    },
    { histories: 500, examples: of.keyed ? [] : [168746783] },
  );
});

test('all that can happen has happened', () => {
  for (const times of Object.values(total)) expect(times).toBeGreaterThan(100);
});

test("the world's arithmetic is that of JSON", () => {
  const world = new ShardWorld(7, { keyed: true });
  live(world, 200);
  const entry: Sized = { id: 1, size: 1_000_000 };
  for (const value of [
    world.state,
    [entry, { id: 2, size: 1 }],
    { entries: [entry], keys: [null, 'k'] },
    [],
    {},
    [undefined],
  ]) {
    expect(sizedBytes(value)).toBe(Buffer.byteLength(JSON.stringify(expand(JSON.parse(JSON.stringify(value))))));
  }
});
