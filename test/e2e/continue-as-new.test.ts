/**
 * The main scenarios of a tracker, each run twice: as usual, and with continue-as-new forced whenever a pool can
 * (`historyEvents` at its least, shifts of about a second), under the same signals. Nothing may be lost in between.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { defineConfig, defineTracker, resolveConfig } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import type { TrackerHandle } from '../../client/tracker/handle';
import { poolWorkflowId } from '../../workflows/tracker/contract';
import { poolOf } from '../../workflows/tracker/plan';
import { wrongCounts } from '../support/roster';
import { eventually, Stack } from '../support/stack';
import { TASK_QUEUE } from '../../workflows/lib/contract';
import { hashId } from '../../workflows/lib/hash';

const runs = new Map<string, number>();
const runsOf = (tracker: string, id: string) => runs.get(`${tracker}/${id}`) ?? 0;

const allRunsOf = (tracker: string) =>
  [...runs].reduce((sum, [key, count]) => (key.startsWith(`${tracker}/`) ? sum + count : sum), 0);

function definition(name: string, over: object) {
  return defineTracker({
    name,
    poolSize: 15,
    flush: '100ms',
    ...over,
    operations: {
      look: {
        every: '200ms',
        run: ({ tracker, id }) => {
          runs.set(`${tracker}/${id}`, runsOf(tracker, id) + 1);
          return { value: id };
        },
      },
    },
  });
}
const config = defineConfig({
  trackers: [definition('usual', {}), definition('renewing', { historyEvents: 10, shift: '1s' })],
});

let stack: Stack;
let longwatch: Longwatch;
let connection: Connection;
let temporal: Client;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker(config);
  longwatch = await stack.connect();
  connection = await Connection.connect({ address: stack.servers.temporalAddress });
  temporal = new Client({ connection, namespace: stack.servers.namespace });
});
afterAll(async () => {
  await connection?.close();
  await stack?.close();
});

async function start(name: string): Promise<TrackerHandle> {
  const tracker = longwatch.tracker(name);
  await tracker.start(resolveConfig(config).trackers.find((one) => one.name === name)!.options);
  return tracker;
}

async function listed(tracker: TrackerHandle): Promise<string[]> {
  const ids: string[] = [];
  for await (const member of tracker.list()) ids.push(member.id);
  return ids;
}

/** Runs of the tracker's workflows that have continued as new. */
async function renewals(name: string): Promise<number> {
  const query = `LongwatchTracker = '${name}' and ExecutionStatus = 'ContinuedAsNew'`;
  return (await temporal.workflow.count(query)).count;
}

/** The numbers of a run of this test are the same each time. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe.each(['usual', 'renewing'])('pools of the tracker %s', (name) => {
  test('four senders, one with an old layout, change the same ids while pools split: the last stamp of each holds', async () => {
    const tracker = await start(name);
    const last = new Map<string, { stamp: number; change: 'add' | 'remove' }>();
    const send = async (sender: number): Promise<void> => {
      const random = randomOf(sender + 1);
      for (let message = 0; message < 20; message++) {
        const change = random(10) < 7 ? 'add' : 'remove';
        const [row] = await stack.sql<{ stamp: number; pools: number }>(
          `select nextval('longwatch.stamp')::int as stamp, pools from longwatch.tracker where name = $1`,
          [name],
        );
        const { stamp, pools } = row!;
        const ids = [...new Set(Array.from({ length: 8 }, () => `id-${random(140)}`))];
        for (const id of ids) if ((last.get(id)?.stamp ?? 0) < stamp) last.set(id, { stamp, change });
        const byPool = new Map<number, string[]>();
        for (const id of ids) {
          // The fourth sender believes that there are two pools for ever.
          const pool = poolOf(hashId(id), sender === 3 ? 2 : pools);
          byPool.set(pool, [...(byPool.get(pool) ?? []), id]);
        }
        for (const [pool, some] of byPool) {
          await temporal.workflow.signalWithStart('pool', {
            workflowId: poolWorkflowId(name, pool),
            taskQueue: TASK_QUEUE,
            args: [{ tracker: name, pool }],
            signal: change,
            signalArgs: [{ ids: some, stamp }],
          });
        }
      }
    };
    await Promise.all([0, 1, 2, 3].map(send));

    await eventually('all changes are applied', async () => {
      const rows = await stack.sql<{ id: string; stamp: number }>(
        `select id, stamp::int from longwatch.member where tracker = $1`,
        [name],
      );
      return rows.length === last.size && rows.every((row) => row.stamp === last.get(row.id)!.stamp);
    });
    const expected = [...last].filter(([, { change }]) => change === 'add').map(([id]) => id);
    expect((await listed(tracker)).sort()).toEqual(expected.sort());
    // Linear hashing leaves some pools twice as large as others, chance some larger, and a pool asks again for growth a
    // tenth later. A split halves the number of its pool, and counts both after it, one after the other.
    await eventually('it has grown', async () => {
      const now = await tracker.pools();
      const all = now.reduce((sum, pool) => sum + pool.members, 0);
      return now.length > 4 && now.every((pool) => pool.members <= 45) && all === expected.length;
    });
    expect(await wrongCounts(stack)).toEqual([]);

    const removed = [...last.keys()].filter((id) => !expected.includes(id));
    expect(removed.length).toBeGreaterThan(5);
    // A shift hears of a removal within a second of it, and then fetches that id no more.
    await eventually('every member is fetched, and nobody else', async () => {
      runs.clear();
      await eventually('every member is fetched', () => expected.every((id) => runsOf(name, id) > 2));
      return removed.every((id) => runsOf(name, id) === 0);
    });
    const values = await stack.sql(
      `select m.id from longwatch.value v join longwatch.member m on m.key = v.member
       where m.tracker = $1 and m.removed_at is not null`,
      [name],
    );
    expect(values).toEqual([]);
  });

  test('a stream of adds goes on while shifts hand over: each is accepted once and tracked', async () => {
    const tracker = longwatch.tracker(name);
    const ids = Array.from({ length: 60 }, (_, i) => `stream-${i}`);
    for (const id of ids) await tracker.add([id]);
    await eventually('all are members', async () => {
      const all = new Set(await listed(tracker));
      return ids.every((id) => all.has(id));
    });
    await eventually('all are fetched', () => ids.every((id) => runsOf(name, id) > 0));
  });

  test('after an acknowledged removal no value of that id is written', async () => {
    const tracker = longwatch.tracker(name);
    const ids = Array.from({ length: 20 }, (_, i) => `stream-${i}`);
    await tracker.remove(ids, { wait: true });
    const rows = () =>
      stack.sql(
        `select m.id from longwatch.value v join longwatch.member m on m.key = v.member
         where m.tracker = $1 and m.id = any($2)`,
        [name, ids],
      );
    expect(await rows()).toEqual([]);
    const { operations } = await tracker.status();
    await eventually('others are written meanwhile', async () => {
      const now = (await tracker.status()).operations[0]!.fetched;
      expect(await rows()).toEqual([]);
      return now > operations[0]!.fetched + 200;
    });
  });

  test('paused: nothing is fetched, adds are kept; resumed: all of them run', async () => {
    const tracker = longwatch.tracker(name);
    await tracker.pause();
    await eventually('it stands still', async () => {
      const before = allRunsOf(name);
      await delay(600);
      return allRunsOf(name) === before;
    });
    await tracker.add(['while-paused-1'], { wait: true });
    await tracker.add(['while-paused-2']);
    expect((await tracker.status()).state).toBe('paused');
    expect(runsOf(name, 'while-paused-1')).toBe(0);
    await tracker.resume();
    await eventually('both run', () => runsOf(name, 'while-paused-1') > 0 && runsOf(name, 'while-paused-2') > 0);
  });

  test('an interval changed while it runs reaches the running shift, and is taken back', async () => {
    const tracker = longwatch.tracker(name);
    const rate = async (): Promise<number> => {
      const before = runsOf(name, 'while-paused-1');
      await delay(1_000);
      return runsOf(name, 'while-paused-1') - before;
    };
    await tracker.set({ 'operations.look.every': '1h' });
    await eventually('it is slow', async () => (await rate()) === 0);
    await tracker.set({ 'operations.look.every': null });
    await eventually('it is fast again', async () => (await rate()) >= 3);
    await expect(tracker.set({ 'operations.look.evry': '1s' })).rejects.toThrow(/did you mean.*every/i);
    await expect(tracker.set({ 'operations.look.every': '1ms' })).rejects.toThrow(/at least/);
  });

  test('stopped and started at once: the same members are fetched again', async () => {
    const tracker = longwatch.tracker(name);
    const before = await listed(tracker);
    for (let times = 0; times < 3; times++) {
      await tracker.stop();
      await expect(tracker.add(['refused'])).rejects.toThrow(/stopped/);
      await start(name);
    }
    runs.clear();
    // As a rule sooner than the patrol would find a pool without its workflow; renewing all the time takes longer.
    const withinMs = name === 'usual' ? 10_000 : 30_000;
    await eventually('all of them are fetched', () => before.every((id) => runsOf(name, id) > 0), withinMs);
    expect(await listed(tracker)).toEqual(before);
  });

  test(`the workflows ${name === 'usual' ? 'did not have to renew themselves' : 'have renewed themselves'}`, async () => {
    if (name === 'usual') expect(await renewals(name)).toBe(0);
    else await eventually('many renewals', async () => (await renewals(name)) > 50);
    await longwatch.tracker(name).stop();
  });
});
