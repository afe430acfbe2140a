/**
 * A worker that freezes in the middle of a change of the roster, of a split or of an opening, on the real PostgreSQL:
 * the others go on, and when it wakes up it changes nothing.
 */
import { pino } from 'pino';
import { setPointHook, type Point } from '../../activities/lib/points';
import { applyRoster } from '../../activities/tracker/roster/apply';
import { openTracker, setTrackerState } from '../../activities/tracker/roster/commands';
import { readOpening, splitPools } from '../../activities/tracker/roster/layout';
import { Database, OWN_LIMITS } from '../../activities/lib/database';
import { defineTracker } from '../../exports';
import { wrongCounts } from '../support/roster';
import { eventually, Stack } from '../support/stack';
import { rowOf } from './shift-kit';

const TRACKER = 't';
const look = defineTracker({
  name: TRACKER,
  poolSize: 10,
  operations: { look: { every: '1s', run: () => ({ value: 1 }) } },
});

let stack: Stack;
let frozenNode: Database;
let database: Database;
beforeAll(async () => {
  stack = await Stack.start();
  const of = { url: stack.servers.databaseUrl, log: pino({ level: 'silent' }), ...OWN_LIMITS };
  frozenNode = new Database(of);
  database = new Database(of);
});
afterEach(() => setPointHook(undefined));
afterAll(async () => {
  await frozenNode.close();
  await database.close();
  await stack.close();
});
beforeEach(async () => {
  await stack.sql(`delete from longwatch.tracker`);
  await stack.sql(`insert into longwatch.tracker (name, options) values ($1, $2)`, [
    TRACKER,
    JSON.stringify(rowOf(look).options),
  ]);
});

const add = (on: Database, ids: string[]) =>
  applyRoster(on, { tracker: TRACKER, pool: 0, changes: ids.map((id) => ({ id, change: 'add' })) });

/** Freezes whoever comes to the point first. */
async function freeze(at: Point, work: () => Promise<unknown>): Promise<{ wake: () => Promise<unknown> }> {
  let wake!: () => void;
  const asleep = new Promise<void>((resolve) => (wake = resolve));
  let reached = false;
  setPointHook((point) => {
    if (point !== at || reached) return undefined;
    reached = true;
    return asleep;
  });
  const outcome = work().then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  await eventually(`it is at ${at}`, () => reached);
  return {
    wake: () => {
      wake();
      return outcome;
    },
  };
}

/**
 * As Temporal does: tried again until it is done. Nothing here waits for the frozen one longer than it takes PostgreSQL
 * to end it.
 */
async function insist<T>(what: string, work: () => Promise<T>): Promise<T> {
  let done: { value: T } | undefined;
  await eventually(what, async () => {
    done = await work().then(
      (value) => ({ value }),
      () => undefined,
    );
    return done !== undefined;
  });
  return done!.value;
}

async function everybodyElseGoesOn(): Promise<void> {
  await insist('a pool opens', () => readOpening(database, TRACKER, 0));
  await insist('others are added', () => add(database, ['a', 'b', 'c']));
  await insist('the tracker grows', () => splitPools(database, { tracker: TRACKER, members: 25 }));
  await insist('a command is taken', () => setTrackerState(database, { tracker: TRACKER, state: 'paused' }));
  await insist('the root opens', () => openTracker(database, { tracker: TRACKER }));
}

test.each<[string, Point, () => Promise<unknown>]>([
  ['while its change holds the pool', 'apply.locked', () => add(frozenNode, ['x', 'a'])],
  ['while it splits', 'split.locked', () => splitPools(frozenNode, { tracker: TRACKER, members: 1_000 })],
])('a worker that freezes %s: the others go on, and what it held is undone', async (_when, point, work) => {
  const frozen = await freeze(point, work);
  await everybodyElseGoesOn();
  expect(await frozen.wake()).toMatchObject({ error: {} });
  const ids = await stack.sql<{ id: string }>(`select id from longwatch.member order by id`);
  expect(ids.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  expect(await stack.sql(`select pools, state from longwatch.tracker`)).toEqual([{ pools: 3, state: 'paused' }]);
  expect(await wrongCounts(stack)).toEqual([]);
  // Temporal tries it again, and then it holds.
  await insist('it is done after all', () => add(database, ['x', 'a']));
  expect(await wrongCounts(stack)).toEqual([]);
});

test('a worker that freezes while it opens a pool keeps nobody from anything, not for a moment', async () => {
  const frozen = await freeze('open.read', () => readOpening(frozenNode, TRACKER, 0));
  const limit = { lockTimeoutMs: 1 };
  const impatient = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }), ...limit });
  try {
    await add(impatient, ['a']);
    await splitPools(impatient, { tracker: TRACKER, members: 25 });
    await setTrackerState(impatient, { tracker: TRACKER, state: 'paused' });
  } finally {
    await impatient.close();
  }
  await frozen.wake();
  expect(await wrongCounts(stack)).toEqual([]);
});
