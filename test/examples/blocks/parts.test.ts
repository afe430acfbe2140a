/** Batches in parts: which part comes next, how many at once, and what a failure ends. */
import { Parts } from '../../../examples/blocks/index/parts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Parts that end when the test says so, in the order in which they began. */
function kit() {
  const parts = new Parts();
  const begun: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const batch = (name: string, entries: number): Promise<void> =>
    parts.each(
      Array.from({ length: entries }, (_, i) => i),
      (part) => {
        const id = `${name}${part[0]! / 250}`;
        begun.push(id);
        return new Promise((resolve, reject) => ends.set(id, (error) => (error ? reject(error) : resolve())));
      },
    );
  const end = async (id: string, error?: Error): Promise<void> => {
    ends.get(id)!(error);
    await settled();
  };
  return { begun, batch, end };
}

test('four at once of all batches together; of the one that has the fewest left comes the next', async () => {
  const { begun, batch, end } = kit();
  const first = batch('a', 1_500);
  const second = batch('b', 1_001);
  expect(begun).toEqual(['a0', 'a1', 'a2', 'a3']);
  await end('a0');
  // The first batch has two left, the second five.
  expect(begun.slice(4)).toEqual(['a4']);
  const head = batch('head', 1);
  await end('a1');
  // As few as the older one has left.
  expect(begun.slice(5)).toEqual(['a5']);
  await end('a2');
  expect(begun.slice(6)).toEqual(['head0']);
  await end('head0');
  await head;
  for (const id of ['a3', 'a4', 'a5']) await end(id);
  await first;
  expect(begun.slice(7)).toEqual(['b0', 'b1', 'b2', 'b3']);
  for (const id of ['b3', 'b2', 'b1', 'b0', 'b4']) await end(id);
  await second;
});

test('after a failure no other of its batch is begun, and it is thrown when those under way have ended', async () => {
  const { begun, batch, end } = kit();
  let thrown: unknown;
  const failing = batch('a', 2_000).catch((error: unknown) => (thrown = error));
  await end('a1', new Error('the node is away'));
  for (const id of ['a0', 'a2']) await end(id);
  expect([begun.length, thrown]).toEqual([4, undefined]);
  await end('a3');
  await failing;
  expect(thrown).toEqual(new Error('the node is away'));
  // Its places are free again.
  const next = batch('b', 1_000);
  await settled();
  expect(begun.slice(4)).toEqual(['b0', 'b1', 'b2', 'b3']);
  for (const id of ['b0', 'b1', 'b2', 'b3']) await end(id);
  await next;
});

test('a batch of none is done', async () => {
  const { begun, batch } = kit();
  await batch('a', 0);
  expect(begun).toEqual([]);
});
