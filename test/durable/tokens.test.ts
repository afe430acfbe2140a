/**
 * Durable activities that take their tokens from a real spender before their code begins: whoever waits for a bucket
 * has used no attempt, whatever ends the wait, and its code begins once.
 */
import type { ActivityContext } from '../../config/define/activity';
import { defineUpstream } from '../../activities/upstream/define';
import { budgetedConfig } from '../../activities/upstream/spend/before';
import { permitFor } from '../../activities/upstream/spending';
import type { NodeSpender } from '../../activities/upstream/budget/node/spender';
import { resolveConfig } from '../../exports';
import { eventually, Stack } from '../support/stack';
import { limit, pass, sharedOf, spenderOf } from '../upstream/budget/node/memory';
import { TestNode, typeOf } from './harness';

const upstream = defineUpstream({
  name: 'up',
  origin: 'http://127.0.0.1:1',
  limits: { all: { key: 'address', tokens: 60, window: '1m' } },
});

let stack: Stack;
let node: TestNode;
let spender: NodeSpender;
let ran: number[] = [];

beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());
beforeEach(() => {
  node = new TestNode(stack.servers.databaseUrl, 'node-1');
  spender = spenderOf(limit('all', { tokens: 60, window: 60 }));
  ran = [];
});
afterEach(async () => {
  spender.close();
  await node.close();
});

/** Its one attempt asks the upstream once. @param timeoutMs it stands in line for half of that */
function codeOf(timeoutMs: number): (context: ActivityContext) => unknown {
  const run = async (_: unknown, { attempt }: ActivityContext): Promise<string> => {
    const permit = (await permitFor('up', { method: 'GET', path: '/', id: undefined }))!;
    permit.report({ status: 200, header: () => undefined });
    ran.push(attempt);
    return 'done';
  };
  const config = resolveConfig({ activities: [{ name: 'effect', upstream, timeout: timeoutMs, run } as never] });
  const { definition } = budgetedConfig(config, spender).activities[0]!;
  return (context) => definition.run(undefined, context);
}

const standsInLine = (): Promise<unknown> =>
  eventually('it stands in the line', () => sharedOf(spender, 'all')?.waiting === 1);
const caught = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

test('one that stands in the line begins as soon as there is something', async () => {
  const running = node.call({ task: 'line/1', run: codeOf(20_000) });
  await standsInLine();
  expect(ran).toEqual([]);
  pass(spender, 2);
  expect((await running).value).toBe('done');
  expect(ran).toEqual([1]);
});

test('one that waits in vain is handed back, and has its only attempt still', async () => {
  const run = codeOf(200);
  const error = await caught(node.call({ task: 'vain/1', run }));
  expect(error).toMatchObject({ nonRetryable: false, nextRetryDelay: 1_000 });
  expect(ran).toEqual([]);
  const again = node.call({ task: 'vain/1', run: codeOf(20_000) });
  await standsInLine();
  pass(spender, 2);
  await again;
  expect(ran).toEqual([1]);
});

test('one whose bucket is closed for long is called again at its time, and not before', async () => {
  const waiting = caught(node.call({ task: 'closed/1', run: codeOf(200) }));
  await standsInLine();
  sharedOf(spender, 'all').hearClosed(60, 1, false);
  await waiting;
  const error = await caught(node.call({ task: 'closed/1', run: codeOf(20_000) }));
  expect(error).toMatchObject({ nonRetryable: false, nextRetryDelay: 60_000 });
  expect(ran).toEqual([]);
});

test('the worker shuts down while one stands in the line: no attempt is used, and the code does not begin', async () => {
  const shutdown = new AbortController();
  const details = { cancelRequested: false, workerShutdown: true, paused: false, reset: false };
  const caller = { signal: shutdown.signal, details: () => details };
  const running = caught(node.call({ task: 'leaves/1', run: codeOf(20_000) }, caller));
  await standsInLine();
  shutdown.abort();
  expect(typeOf(await running)).not.toBe('ActivityFailed');
  pass(spender, 2);
  expect(ran).toEqual([]);
  const again = node.call({ task: 'leaves/1', run: codeOf(20_000) });
  await standsInLine();
  pass(spender, 2);
  await again;
  expect(ran).toEqual([1]);
});
