/** Bad days of durable activities with real processes: killed, frozen, with a wrong clock. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { eventually, Stack } from '../support/stack';
import { TestNode } from './harness';
import { SCHEMA } from './orders';
import { stopwatch } from '../support/stopwatch';

let stack: Stack;
const children: ChildProcess[] = [];

beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql(SCHEMA);
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await stack.close();
});

/** A lease that is held until the test says so has this time to live. */
const TTL_MS = 5_000;

interface Child {
  lines: string[];
  tell: (line: string) => void;
  said: (line: string | RegExp) => Promise<string>;
  signal: (signal: NodeJS.Signals) => void;
  kill: () => Promise<void>;
}

async function start(name: string, env: NodeJS.ProcessEnv = {}): Promise<Child> {
  const child = spawn(process.execPath, ['--require', 'tsx/cjs', path.join(__dirname, 'child.ts')], {
    env: {
      ...process.env,
      DATABASE_URL: stack.servers.databaseUrl,
      NODE_NAME: name,
      LEASE_TTL_MS: String(TTL_MS),
      ...env,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const exited = once(child, 'exit');
  // An answer to a process that has been killed is lost, as it should be.
  child.stdin.on('error', () => undefined);
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const said = (wanted: string | RegExp) =>
    eventually(`${name} says ${String(wanted)}; it said ${lines.join(', ')}`, () =>
      lines.find((line) => (typeof wanted === 'string' ? line === wanted : wanted.test(line))),
    );
  await said('ready');
  return {
    lines,
    tell: (line) => void child.stdin.write(`${line}\n`),
    said,
    signal: (signal) => void child.kill(signal),
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

test('a worker frozen past its lease, another takes over, the first goes on: all of its writes are refused', async () => {
  const frozen = await start('frozen');
  const tasks = [0, 1, 2, 3].map((index) => ({ task: `stop-${index}/1`, form: index % 2 ? 'outside' : 'inside' }));
  for (const { task, form } of tasks) frozen.tell(`hold ${task} ${form}`);
  for (const { task } of tasks) await frozen.said(`holds ${task}`);
  frozen.signal('SIGSTOP');
  const other = new TestNode(stack.servers.databaseUrl, 'other');
  for (const { task, form } of tasks) {
    await other.callAgain({
      task,
      retry: { attempts: 2 },
      run: async ({ tx, attempt }) => {
        if (form === 'inside') await tx.query('insert into effect values ($1, $2)', [task, 'other']);
        return `other, attempt ${attempt}`;
      },
    });
  }
  frozen.tell('go');
  frozen.signal('SIGCONT');
  for (const { task } of tasks)
    expect(await frozen.said(new RegExp(`^ended ${task} `))).toBe(`ended ${task} HandedBack`);
  const effects = await stack.sql(`select * from effect where task like 'stop-%' order by task`);
  expect(effects).toEqual([
    { task: 'stop-0/1', node: 'other' },
    { task: 'stop-2/1', node: 'other' },
  ]);
  const results = await stack.sql<{ result: string }>(`select result from longwatch.task where task like 'stop-%'`);
  expect(results.map(({ result }) => result)).toEqual(tasks.map(() => 'other, attempt 2'));
  await other.close();
  await frozen.kill();
});

test.each([-600_000, 600_000])("a worker's clock that is %d ms off makes no difference", async (offset) => {
  const task = `clock-${offset}/1`;
  const wrong = await start('wrong', { CLOCK_OFFSET_MS: String(offset) });
  const other = new TestNode(stack.servers.databaseUrl, 'other');
  wrong.tell(`hold ${task} inside`);
  await wrong.said(`holds ${task}`);
  const lease = async (): Promise<{ left: number; owner: string }> => {
    const [row] = await stack.sql<{ left: number; owner: string }>(
      `select owner, (extract(epoch from lease_expires_at - clock_timestamp()) * 1000)::float8 as left
       from longwatch.task where task = $1`,
      [task],
    );
    return row!;
  };
  expect((await lease()).left).toBeLessThanOrEqual(TTL_MS);
  // Kept, by renewals, past its time to live.
  const until = performance.now() + 1.5 * TTL_MS;
  let looks = 0;
  await eventually('a lease that is kept for longer', async () => {
    const { left, owner } = await lease();
    expect(owner).toBe('wrong');
    expect(left).toBeGreaterThan(0);
    looks += 1;
    return performance.now() > until;
  });
  expect(looks).toBeGreaterThan(5);
  await expect(other.call({ task, run: () => 'stolen' })).rejects.toMatchObject({ type: 'LeaseHeld' });
  // And lost one time to live after its death.
  await wrong.kill();
  const sinceItsDeath = stopwatch();
  expect((await other.callAgain({ task, retry: { attempts: 2 }, run: () => 'mine' })).value).toBe('mine');
  expect(sinceItsDeath()).toBeLessThan(TTL_MS + 1_300);
  await other.close();
});

/** Each strikes up to eight orders: 200 and more in a short run. */
const KILLS = Number(process.env.LONGWATCH_KILLS ?? 30);
const AT_ONCE = 8;

test(
  `killed ${KILLS} times at random points, ${AT_ONCE} orders at once: each account moves once, no parcel twice`,
  async () => {
    let next = 0;
    let killed = 0;
    let struck = 0;
    const done = new Set<string>();
    const worker = async (name: string): Promise<void> => {
      let open: string[] = [];
      for (let life = 0; ; life++) {
        const child = await start(`${name}-${life}`);
        const quiet = killed >= KILLS;
        // A call that was not acknowledged is made again, as Temporal does.
        for (const id of open) child.tell(`order ${id}`);
        const death = performance.now() + Math.random() * 400;
        await eventually('orders, and a death', () => {
          for (const line of child.lines) {
            if (line.startsWith('broken')) throw new Error(line);
            if (line.startsWith('order ')) done.add(line.slice(6));
          }
          open = open.filter((id) => !done.has(id));
          while (!quiet && open.length < AT_ONCE) {
            const id = String(next++);
            open.push(id);
            child.tell(`order ${id}`);
          }
          return quiet ? open.length === 0 : performance.now() > death;
        });
        await child.kill();
        for (const line of child.lines) if (line.startsWith('order ')) done.add(line.slice(6));
        open = open.filter((id) => !done.has(id));
        if (quiet) return;
        killed += 1;
        struck += open.length;
      }
    };
    await Promise.all([worker('left'), worker('right')]);
    expect(killed).toBeGreaterThanOrEqual(KILLS);
    expect(struck).toBeGreaterThan(KILLS * 4);
    expect(done.size).toBe(next);
    const accounts = await stack.sql('select name, balance from account order by name');
    expect(accounts).toEqual([
      { name: 'buyers', balance: 100_000 - 10 * next },
      { name: 'shop', balance: 10 * next },
    ]);
    expect(await stack.sql('select order_id from movement group by 1 having count(*) > 1')).toEqual([]);
    const [parcels] = await stack.sql<{ parcels: number; again: number }>(
      'select count(*)::int as parcels, count(*) filter (where calls > 1)::int as again from carrier',
    );
    expect(parcels!.parcels).toBe(next);
    // Without a crash in the middle of an attempt this test would show nothing.
    const [crashes] = await stack.sql<{ crashed: number }>(
      `select count(*)::int as crashed from longwatch.task where task like 'order-%' and attempt > 1`,
    );
    expect(crashes!.crashed).toBeGreaterThan(0);
  },
  30_000 + KILLS * 4_000,
);
