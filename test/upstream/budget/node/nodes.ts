/**
 * Nodes of one budget on a real PostgreSQL. The database starts where this is imported; each test begins without rows
 * of a budget, and its nodes end with it.
 */
import { setPointHook } from '../../../../activities/lib/points';
import type { LimitedUpstream } from '../../../../activities/upstream/budget/spender';
import { Stack } from '../../../support/stack';
import { TestNode } from './kit';

export let stack: Stack;
/** The nodes that run. */
export let nodes: TestNode[] = [];

beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(async () => {
  await stack?.close();
});
beforeEach(async () => {
  await stack.sql('truncate longwatch.budget, longwatch.budget_closing, longwatch.budget_header');
});
afterEach(async () => {
  setPointHook(undefined);
  await stop(...nodes);
});

export async function start(
  name: string,
  upstream: LimitedUpstream,
  url = stack.servers.databaseUrl,
): Promise<TestNode> {
  const node = await new TestNode(name, url, upstream).start();
  nodes.push(node);
  return node;
}

/** Ends them before the test does. */
export async function stop(...ended: TestNode[]): Promise<void> {
  nodes = nodes.filter((node) => !ended.includes(node));
  await Promise.all(ended.map((node) => node.stop()));
}
