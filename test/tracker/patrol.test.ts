/**
 * The patrol: one node at a time, nothing locked, and a stop that waits for no server. The mending is in
 * `test/e2e/mended.test.ts`.
 */
import { getEventListeners } from 'node:events';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { Patrol, patrol } from '../../activities/patrol';
import { Database } from '../../activities/lib/database';
import { TemporalLink } from '../../activities/lib/temporal';
import { Proxy } from '../support/proxy';
import { eventually, Stack } from '../support/stack';
import { stopwatch } from '../support/stopwatch';

const log = pino({ level: 'silent' });

let stack: Stack;
let database: Database;
let connection: Connection;
let client: Client;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
  connection = await Connection.connect({ address: stack.servers.temporalAddress });
  client = new Client({ connection, namespace: stack.servers.namespace });
});
afterAll(async () => {
  await connection.close();
  await database.close();
  await stack.close();
});
beforeEach(() => stack.sql(`delete from longwatch.patrol`));

/** A Temporal that counts how often it is asked what runs, and then answers, or does not. */
class Asked extends TemporalLink {
  asked = 0;
  constructor(private readonly hangs: boolean) {
    super(client);
  }
  override async runningWorkflows(): Promise<Set<string>> {
    this.asked++;
    if (this.hangs) await new Promise(() => undefined);
    return super.runningWorkflows();
  }
}

test('a round that hangs holds no transaction open, and its stop does not wait for it', async () => {
  const hanging = new Asked(true);
  const patrol = new Patrol(database, hanging, log, undefined, 10);
  await patrol.start();
  await eventually('it asks', () => hanging.asked > 0);
  const open = await stack.sql(
    `select pid from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`,
  );
  expect(open).toEqual([]);
  const took = stopwatch();
  await patrol.stop();
  expect(took()).toBeLessThan(5_000);
});

test('requests of a round to Temporal leave no listener on the signal of their end', async () => {
  const link = new TemporalLink(client);
  const { signal } = new AbortController();
  await patrol(database, link, log, { signal });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('while one node is in its round no other begins one; a node that hung has its turn taken after its time', async () => {
  const first = new Asked(true);
  const second = new Asked(false);
  const patrols = [new Patrol(database, first, log, undefined, 10)];
  await patrols[0]!.start();
  await eventually('the first asks', () => first.asked > 0);
  patrols.push(new Patrol(database, second, log, undefined, 10));
  await patrols[1]!.start();
  const [held] = await stack.sql<{ free_in: number }>(
    `select extract(epoch from free_at - now())::float8 as free_in from longwatch.patrol`,
  );
  expect(held!.free_in).toBeGreaterThan(0);
  expect(second.asked).toBe(0);
  await stack.sql(`update longwatch.patrol set free_at = now()`);
  await eventually('the second has its turn', () => second.asked > 0);
  // It has left, and the next round of anybody is due in a quarter of a minute.
  await eventually('it is over', async () => {
    const rows = await stack.sql(`select 1 from longwatch.patrol where holder is null and free_at > now()`);
    return rows.length === 1;
  });
  expect(second.asked).toBe(1);
  expect(first.asked).toBe(1);
  await Promise.all(patrols.map((patrol) => patrol.stop()));
});

test('of what runs on the task queue it asks for Longwatch’s own workflows only', async () => {
  const started = await Promise.all(
    ['pool', 'orders'].map((type) =>
      client.workflow.start(type, { taskQueue: 'longwatch', workflowId: `${type}/mine/0`, args: [] }),
    ),
  );
  const link = new TemporalLink(client);
  await eventually('both are seen', async () => {
    let seen = 0;
    for await (const { workflowId } of client.workflow.list({ query: `ExecutionStatus = 'Running'` })) {
      if (workflowId.endsWith('/mine/0')) seen++;
    }
    return seen === 2;
  });
  expect([...(await link.runningWorkflows())]).toEqual(['pool/mine/0']);
  for (const handle of started) await handle.terminate();
});

test('a run that was ended by force is not the current one, though none has come after it', async () => {
  const handle = await client.workflow.start('pool', { taskQueue: 'longwatch', workflowId: 'pool/t/9', args: [] });
  const link = new TemporalLink(client);
  expect(await link.isCurrent('pool/t/9', handle.firstExecutionRunId)).toBe(true);
  expect(await link.isCurrent('pool/t/9', '00000000-0000-0000-0000-000000000000')).toBe(false);
  await handle.terminate();
  expect(await link.isCurrent('pool/t/9', handle.firstExecutionRunId)).toBe(false);
  expect(await link.isCurrent('pool/t/10', handle.firstExecutionRunId)).toBe(false);
});

test('a server that swallows is not waited for: which run is the current one is answered in time, or it is an error', async () => {
  const proxy = await Proxy.start(`http://${stack.servers.temporalAddress}`);
  const through = await Connection.connect({ address: new URL(proxy.url).host });
  try {
    const swallowing = new Client({ connection: through, namespace: stack.servers.namespace });
    expect(await new TemporalLink(swallowing).isCurrent('pool/t/11', 'none')).toBe(false);
    proxy.swallow();
    const took = stopwatch();
    await expect(new TemporalLink(swallowing, 300).isCurrent('pool/t/11', 'none')).rejects.toThrow();
    expect(took()).toBeLessThan(5_000);
  } finally {
    proxy.close();
    await through.close();
  }
});
