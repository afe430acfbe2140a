/**
 * Two nodes on one database, anew for each test, and what the parts of `promises.test.ts` look at. The database starts
 * where this is imported.
 */
import { failure } from '../../../activities/lib/failures';
import { ErrorType } from '../../../workflows/lib/errors';
import { Stack } from '../../support/stack';
import { TestNode } from '../harness';

export let stack: Stack;
export let one: TestNode;
export let two: TestNode;

beforeAll(async () => {
  stack = await Stack.start({ own: true });
  await stack.sql('create table effect (task text primary key)');
  await stack.sql('create table other (id int primary key)');
});
afterAll(() => stack.close());
beforeEach(() => {
  one = new TestNode(stack.servers.databaseUrl, 'node-1');
  two = new TestNode(stack.servers.databaseUrl, 'node-2');
});
afterEach(() => Promise.all([one.close(), two.close()]));

export const caught = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);
export const gone = () => failure(ErrorType.StoreUnavailable, 'gone');
export const coded = (code: string) => Object.assign(new Error(`of ${code}`), { code });

export async function row(task: string) {
  type Row = { state: string; attempt: number; unused: number; note: string | null; resource: string | null };
  const [found] = await stack.sql<Row>(
    'select state, attempt, unused, note, resource from longwatch.task where task = $1',
    [task],
  );
  return found!;
}

/** Statements of one name fail so often. */
export function fails(node: TestNode, name: string, times: number, error: () => Error = gone): void {
  let left = times;
  node.database.before = (statement) => {
    if (statement.name === name && left-- > 0) throw error();
  };
}
