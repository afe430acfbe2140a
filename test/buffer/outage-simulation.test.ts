/**
 * PostgreSQL away for ten minutes at 1 MB/s of pushes, in the simulated world's time: an outage costs nothing but time.
 * The histories grow by what was accepted and handled, and by little beside.
 */
import { countsOf } from '../../workflows/buffer/queue';
import type { WorldOptions } from './shard-tasks';
import { ShardWorld } from './shard-world';
import { SHARD_TUNABLES } from '../../workflows/buffer/tunables';

jest.mock('../../workflows/lib/size', () => ({
  ...jest.requireActual<object>('../../workflows/lib/size'),
  jsonBytes: jest.requireActual<{ sizedBytes: unknown }>('./sizes').sizedBytes,
}));

const OPTIONS = {
  maxBatchSize: 2_000,
  maxConcurrency: 2,
  historyEvents: 2_000,
  bound: { entries: 50_000, bytes: 1_000_000 },
};
const TICK_MS = 100;
const MESSAGE = Array.from({ length: 800 }, () => 125);

/** Pushes 100 KB each tenth of a second, and answers what is under way. @returns how many messages were refused */
function live(world: ShardWorld, ms: number): number {
  let refused = 0;
  let wakeAt: number | undefined = 0;
  for (const until = world.now + ms; world.now < until; world.now += TICK_MS) {
    // Senders are told to wait: they ask again, and their order stays. A refused push leaves no trace in the history.
    const taken = world.push(MESSAGE, { by: 'update' });
    if (!taken) refused++;
    if (!taken && world.ops.length === 0 && (wakeAt === undefined || world.now < wakeAt)) continue;
    wakeAt = world.work();
    for (let i = 0; i < 10 && world.ops.length > 0; i++) {
      const [op] = world.ops;
      world.happen(op!, false);
      world.answer(op!);
      wakeAt = world.work();
    }
  }
  return refused;
}

/** @param ms ten minutes, and a while after a question; less where much is handled, which costs time here as well */
function outage(of: WorldOptions, prepare: (world: ShardWorld) => void = () => undefined, ms = 605_000) {
  const world = new ShardWorld(1, { ...of, options: { ...OPTIONS, ...of.options } });
  live(world, 2_000);
  prepare(world);
  const before = { ...world.written };
  const spilled = [...world.pg.rows.values()].reduce((sum, { entries }) => sum + entries.length, 0);
  world.outageUntil = world.now + ms;
  const refused = live(world, ms);
  const grown = { ...world.written };
  for (const what of ['said', 'batches', 'carried', 'rest'] as const) grown[what] -= before[what];
  expect(world.longest).toBeLessThan(20_000_000);
  expect(world.state.outage).toBeDefined();
  const held = countsOf(world.state);
  const endsAt = world.now;
  world.drain();
  world.promises.census();
  // A shard that waits asks often enough to hear of it soon.
  expect(world.now - endsAt).toBeLessThan(6_000);
  expect(countsOf(world.state)).toMatchObject({ accepted: held.accepted, pending: 0, dead: 0 });
  return { refused, grown, held, spilled };
}

test('without keys: what is pushed is handled at its rate throughout', () => {
  const { refused, grown, held } = outage({ keyed: false }, undefined, 40_000);
  expect(refused).toBe(0);
  expect(held.done).toBeGreaterThan(0.99 * held.accepted);
  // The inputs of batches hold what was pushed; questions and reports are the rest.
  expect(grown.batches).toBeLessThan(1.2 * grown.said);
  expect(grown.rest).toBeLessThan(800_000);
});

test.each([
  [
    'with keys and stored entries, nothing of which can run',
    { keyed: true, keys: 1e9, options: { bound: { entries: 1_000, bytes: 50_000 } } },
    () => undefined,
  ],
  ['paused', { keyed: false }, (world: ShardWorld) => void (world.state.paused = true)],
])(
  '%s: senders are held at what can be carried, and the history grows by less than 1 MB beside that',
  (_, of, prepare) => {
    const { refused, grown, held } = outage(of, prepare);
    expect(refused).toBeGreaterThan(5_000);
    expect(held.pending).toBeGreaterThan(0);
    expect(grown.said).toBeLessThan(SHARD_TUNABLES.carryBytesAtMost + 1_000_000);
    expect(grown.batches + grown.carried + grown.rest).toBeLessThan(1_000_000 + 2 * SHARD_TUNABLES.carryBytesAtMost);
    expect(grown.rest + grown.batches).toBeLessThan(1_000_000);
  },
);

test('without keys: what lies in PostgreSQL when it goes away waits, all else is handled at its rate throughout', () => {
  const pastItsBound = (world: ShardWorld): void => {
    world.state.paused = true;
    live(world, 9_000);
    world.state.paused = false;
  };
  const of = { keyed: false, options: { bound: { entries: 50_000, bytes: 300_000 } } };
  const { held, refused, spilled } = outage(of, pastItsBound, 40_000);
  // More than there are references to in memory.
  expect(spilled).toBeGreaterThan(50 * MESSAGE.length);
  expect(refused).toBe(0);
  expect(held.done).toBeGreaterThan(0.98 * (held.accepted - spilled));
});

test('one entry at the front does not keep the back waiting', () => {
  const frontWaits = (world: ShardWorld): void => {
    world.push([100], { by: 'row', front: true });
    world.push([100], { by: 'update', front: true });
  };
  const { held } = outage({ keyed: false }, frontWaits, 40_000);
  expect(held.done).toBeGreaterThan(0.95 * held.accepted);
});
