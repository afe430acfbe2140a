/**
 * D1 and its bad days: leases are taken, renewed while the code runs, and lost only by a compare-and-set that misses.
 */
import { isOutage } from '../../activities/lib/database';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../../activities/lib/failures';
import { eventually, Stack } from '../support/stack';
import { gate, TestNode, typeOf } from './harness';
import { stopwatch } from '../support/stopwatch';

let stack: Stack;
let one: TestNode;
let two: TestNode;

beforeAll(async () => {
  stack = await Stack.start({ own: true });
  await stack.sql('create table effect (task text, node text)');
});
afterAll(() => stack.close());
beforeEach(() => {
  one = new TestNode(stack.servers.databaseUrl, 'node-1');
  two = new TestNode(stack.servers.databaseUrl, 'node-2');
});
afterEach(() => Promise.all([one.close(), two.close()]));

const SHORT = { ttlMs: 600, renewMs: 150 };

async function lease(task: string) {
  const [row] = await stack.sql<{ state: string; owner: string; attempt: number; unused: number; left: number }>(
    `select state, owner, attempt, unused, (extract(epoch from lease_expires_at - clock_timestamp()) * 1000)::float8 as left
     from longwatch.task where task = $1`,
    [task],
  );
  return row!;
}

const caught = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

test('the defaults: 30 s, renewed each 10 s', async () => {
  await one.call({
    task: 'defaults/1',
    run: async ({ task }) => {
      const { left, owner } = await lease(task);
      expect(left).toBeGreaterThan(15_000);
      expect(left).toBeLessThanOrEqual(30_000);
      expect(owner).toBe('node-1');
    },
  });
});

test('renewed in the background while the code runs, far past its time to live', async () => {
  const task = 'long/1';
  let renewals = 0;
  one.database.after = ({ name }) => void (name === 'task-renew' && renewals++);
  const done = gate();
  // A machine that stands still for a moment loses no lease.
  const times = { ttlMs: 4_000, renewMs: 200 };
  const running = one.call({ task, ...times, run: () => done.opened });
  await eventually('renewals for longer than that', () => renewals > 25);
  const refused = await caught(two.call({ task, ...times, run: () => 'stolen' }));
  expect(typeOf(refused)).toBe('LeaseHeld');
  expect((await lease(task)).owner).toBe('node-1');
  done.open();
  await running;
  expect((await lease(task)).state).toBe('completed');
});

test('lost before the code runs: a warning with task and owner, not run, no attempt used', async () => {
  const task = 'lost-before/1';
  let ran = 0;
  one.database.after = async ({ name }) => {
    if (name !== 'task-take') return;
    one.database.after = () => undefined;
    // The answer is so late that another one has it by then.
    await eventually('a take-over', async () => {
      const taken = await caught(two.call({ task, retry: { attempts: 2 }, run: () => hold.opened }).then(() => 'done'));
      return taken === 'done';
    });
  };
  const hold = gate();
  hold.open();
  const refused = await caught(one.call({ task, ttlMs: 600, renewMs: 200, run: () => ran++ }));
  expect(typeOf(refused)).toBe('LeaseHeld');
  expect(ran).toBe(0);
  expect(one.told('activity not run: lost before it ran')).toEqual([
    expect.objectContaining({ task, owner: 'node-1', level: 40 }),
  ]);
  const { attempt, unused } = await lease(task);
  expect(attempt - unused).toBe(1);
});

test('an error of the database is tried again after max(renew / 4, 250 ms), and is no lost lease', async () => {
  const [at, fair] = [[] as number[], [] as number[]];
  const took = stopwatch();
  let failures = 3;
  one.database.before = ({ name }) => {
    if (name !== 'task-renew') return;
    at.push(performance.now());
    fair.push(took());
    if (failures-- > 0) throw failure(ErrorType.StoreUnavailable, 'a blip');
  };
  const done = gate();
  const running = one.call({
    task: 'blip/1',
    ttlMs: 30_000,
    renewMs: 300,
    run: async ({ signal }) => {
      await done.opened;
      return signal.aborted;
    },
  });
  await eventually('renewals that succeed', () => at.length >= 5);
  done.open();
  expect((await running).value).toBe(false);
  for (const [index, time] of at.slice(1, 4).entries()) {
    expect(time - at[index]!).toBeGreaterThan(240);
    expect(fair[index + 1]! - fair[index]!).toBeLessThan(600);
  }
  expect(one.told('a lease was lost')).toEqual([]);
});

test('an outage that outlasts the time to live loses the lease', async () => {
  one.database.before = ({ name }) => {
    if (name === 'task-renew') throw failure(ErrorType.StoreUnavailable, 'gone');
  };
  const began = performance.now();
  const error = await caught(
    one.call({
      task: 'outage/1',
      ...SHORT,
      run: ({ signal }) => new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason as Error))),
    }),
  );
  expect(performance.now() - began).toBeGreaterThanOrEqual(600);
  expect(typeOf(error)).toBe('HandedBack');
  expect(one.told('a lease was lost')).toEqual([expect.objectContaining({ reason: 'could_not_be_renewed' })]);
});

test('a lost lease fires the AbortSignal, and all later writes are refused', async () => {
  const task = 'taken/1';
  let later: unknown;
  const zombie = gate();
  const error = await caught(
    one.call({
      task,
      ...SHORT,
      run: async ({ tx, signal }) => {
        await tx.query(`insert into effect values ($1, 'node-1')`, [task]);
        await stack.sql(`update longwatch.task set owner = 'node-2', attempt = attempt + 1 where task = $1`, [task]);
        await eventually('the signal', () => signal.aborted);
        // Code that does not listen goes on, and gets nowhere.
        later = await caught(tx.query(`insert into effect values ($1, 'node-1')`, [task]));
        zombie.open();
      },
    }),
  );
  expect(typeOf(error)).toBe('HandedBack');
  await zombie.opened;
  expect(String(later)).toMatch(/lease of taken\/1 is lost|transaction is over/);
  expect(await stack.sql('select from effect where task = $1', [task])).toHaveLength(0);
  expect((await lease(task)).owner).toBe('node-2');
});

test('one statement renews all leases of a node: 10,000 of them', async () => {
  const tasks = Array.from({ length: 10_000 }, (_, index) => `many-${index}/1`);
  await stack.sql(
    `insert into longwatch.task (task, activity, workflow_id, run_id, state, owner, attempt, lease_expires_at)
     select t, 'effect', t, 'many', 'leased', 'node-1', 1, clock_timestamp() + interval '15 s' from unnest($1::text[]) t`,
    [tasks],
  );
  const spec = { activity: 'effect', kind: 'activity', workflowId: 'w', runId: 'many', ttlMs: 30_000 } as const;
  const rest = {
    attempts: 1,
    resource: null,
    key: null,
    fingerprint: null,
    refuseOther: false,
    undo: false,
    keepFailure: false,
    retentionMs: 1,
    details: null,
  };
  let sent = 0;
  let answered = 0;
  one.database.before = () => void sent++;
  one.database.after = () => void answered++;
  const now = performance.now();
  for (const task of tasks) {
    const claim = { spec: { ...spec, ...rest, task }, owner: 'node-1', attempt: 1, used: 1, token: 1 };
    one.services.leases.keep(claim, 600, now);
  }
  await eventually('the renewal', () => answered > 0);
  expect(sent).toBe(1);
  const [row] = await stack.sql<{ renewed: number }>(
    `select count(*)::int as renewed from longwatch.task
     where run_id = 'many' and lease_expires_at > clock_timestamp() + interval '20 s'`,
  );
  expect(row!.renewed).toBe(10_000);
});

test('two executions never hold one resource', async () => {
  const first = gate();
  const done = gate();
  const holding = one.call({ task: 'first/1', resource: 'account 7', run: () => (first.open(), done.opened) });
  await first.opened;
  const refused = await caught(two.call({ task: 'second/1', resource: 'account 7', run: () => 'ran' }));
  expect(refused).toMatchObject({ type: 'LeaseHeld' });
  expect(String(refused)).toMatch(/resource held \(node-1\)/);
  expect((await two.call({ task: 'third/1', resource: 'account 8', run: () => 'ran' })).value).toBe('ran');
  done.open();
  await holding;
  expect((await two.call({ task: 'second/1', resource: 'account 7', run: () => 'ran' })).value).toBe('ran');
});

test('PostgreSQL restarted in the middle of renewals: no lease lost, the work done once', async () => {
  let runs = 0;
  let renewed = 0;
  one.database.after = ({ name }) => void (name === 'task-renew' && renewed++);
  const done = gate();
  const jobs = ['a', 'b', 'c'].map((name) =>
    one.call({
      task: `restart-${name}/1`,
      ttlMs: 120_000,
      renewMs: 100,
      run: async () => {
        runs += 1;
        await done.opened;
        return name;
      },
    }),
  );
  await eventually('renewals', () => renewed > 3);
  await stack.servers.kill('postgres');
  await eventually('a failed renewal', () => one.told('leases could not be renewed; trying again').length > 0);
  await stack.servers.start('postgres');
  const before = renewed;
  await eventually('renewals again', () => renewed > before + 1);
  done.open();
  expect((await Promise.all(jobs)).map(({ value }) => value)).toEqual(['a', 'b', 'c']);
  expect(runs).toBe(3);
  expect(one.told('a lease was lost')).toEqual([]);
  expect(isOutage(new Error('x'))).toBe(false);
});
