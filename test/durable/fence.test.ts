/** D2: a write by compare-and-set, every reason of a refusal and what follows from it. */
import { OUTCOMES, outcomeOf, type Outcome, type Reason } from '../../activities/durable/outcomes';
import { Stack } from '../support/stack';
import { TestNode, typeOf } from './harness';

let stack: Stack;
let node: TestNode;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql('create table effect (task text)');
  node = new TestNode(stack.servers.databaseUrl, 'node-1');
});
afterAll(async () => {
  await node.close();
  await stack.close();
});

/** How each reason comes about while the code runs; $1 is the task, its run `r-…`. */
const HAPPENS: Record<Reason, string> = {
  lease_expired: `update longwatch.task set lease_expires_at = clock_timestamp() - interval '1 ms' where task = $1`,
  lease_missing_expiry: `update longwatch.task set lease_expires_at = null where task = $1`,
  run_token_rotated: `update longwatch.task_run r set token = r.token + 1 from longwatch.task t
                      where t.task = $1 and r.workflow_id = t.workflow_id`,
  owner_mismatch: `update longwatch.task set owner = 'node-2' where task = $1`,
  attempt_mismatch: `update longwatch.task set attempt = attempt + 1 where task = $1`,
  run_mismatch: `update longwatch.task set run_id = 'another' where task = $1`,
  not_leased: `update longwatch.task set state = 'waiting' where task = $1`,
  not_found: `delete from longwatch.task where task = $1`,
  run_not_found: `delete from longwatch.task_run r using longwatch.task t
                  where t.task = $1 and r.workflow_id = t.workflow_id`,
  run_not_active: `update longwatch.task_run r set state = 'ended' from longwatch.task t
                   where t.task = $1 and r.workflow_id = t.workflow_id`,
};

const AFTER: Record<
  Exclude<Outcome, 'raise'>,
  { error: string; row: (before: string | undefined) => string | undefined }
> = {
  'hand back': { error: 'HandedBack', row: () => 'waiting' },
  // Left as it was found.
  drop: { error: 'HandedBack', row: (before) => before },
  discard: { error: 'Discarded', row: () => 'discarded' },
};

const stateOf = async (task: string): Promise<string | undefined> =>
  (await stack.sql<{ state: string }>('select state from longwatch.task where task = $1', [task]))[0]?.state;

const reasons = Object.keys(OUTCOMES) as Reason[];

test('the table has every reason that the database can give', async () => {
  const [fn] = await stack.sql<{ source: string }>(
    `select prosrc as source from pg_proc where proname = 'fence_reason'`,
  );
  const given = [...fn!.source.matchAll(/then '(\w+)'/g)].map((match) => match[1]);
  expect(given.sort()).toEqual([...reasons].sort());
  expect(Object.keys(HAPPENS).sort()).toEqual([...reasons].sort());
});

describe.each([true, false])('effect in the database: %s', (inTx) => {
  test.each(reasons)('%s', async (reason) => {
    const task = `r-${reason}-${inTx}/1`;
    const action = OUTCOMES[reason];
    const before = await node.metric('longwatch_activity_fenced_total', { action, reason });
    let seen: string | undefined;
    const error: unknown = await node
      .call({
        task,
        run: async ({ tx }) => {
          if (inTx) await tx.query('insert into effect values ($1)', [task]);
          await stack.sql(HAPPENS[reason], [task]);
          seen = await stateOf(task);
        },
      })
      .catch((thrown: unknown) => thrown);
    expect(typeOf(error)).toBe(AFTER[action].error);
    expect(await stateOf(task)).toBe(AFTER[action].row(seen));
    expect(await stack.sql('select from effect where task = $1', [task])).toHaveLength(0);
    expect(await node.metric('longwatch_activity_fenced_total', { action, reason })).toBe(before + 1);
    expect(node.told(`activity fenced: ${action}`).filter((line) => line.task === task)).toEqual([
      expect.objectContaining({ action, reason, executor: 'node-1', attempt: 1, run: task.split('/')[0] }),
    ]);
  });
});

test('anything else is raised', () => {
  expect(outcomeOf('no such reason')).toBe('raise');
  expect(outcomeOf('toString')).toBe('raise');
});

test('what was handed back runs again without having used an attempt', async () => {
  const attempts: number[] = [];
  const call = {
    task: 'r-again/1',
    run: async ({ attempt, tx }: { attempt: number; tx: { query: (text: string, values: unknown[]) => unknown } }) => {
      attempts.push(attempt);
      await tx.query('insert into effect values ($1)', ['r-again/1']);
      if (attempts.length === 1) await stack.sql(HAPPENS.lease_expired, ['r-again/1']);
      return attempts.length;
    },
  };
  await node.call(call).catch(() => undefined);
  expect((await node.call(call)).value).toBe(2);
  expect(attempts).toEqual([1, 1]);
  expect(await stack.sql(`select from effect where task = 'r-again/1'`)).toHaveLength(1);
});

test('a run that has followed takes over, and the older one is discarded', async () => {
  const current = new Set(['new']);
  const judge = new TestNode(stack.servers.databaseUrl, 'node-3', (_workflow, run) =>
    Promise.resolve(current.has(run)),
  );
  await stack.sql(
    `insert into longwatch.task_run (workflow_id, run_id) values ('workflow of new', 'old'), ('workflow of gone', 'newer')`,
  );
  expect((await judge.call({ task: 'new/1', run: () => 'ran' })).value).toBe('ran');
  const [row] = await stack.sql<{ run_id: string; token: string }>(
    `select run_id, token from longwatch.task_run where workflow_id = 'workflow of new'`,
  );
  expect(row).toEqual({ run_id: 'new', token: '2' });
  const refused: unknown = await judge.call({ task: 'gone/1', run: () => 'ran' }).catch((thrown: unknown) => thrown);
  expect(typeOf(refused)).toBe('Discarded');
  await judge.close();
});
