/** The order of those who wait for one bucket in one class. */
import { Costs, Queue } from '../../../../activities/upstream/budget/node/queue';
import type { Waiter } from '../../../../activities/upstream/budget/spender';

let now = 0;
const waiter = (): Waiter => ({ class: 'watch', requests: 1, wake: () => undefined });

function queueOf(...codes: string[]): { queue: Queue; costs: Costs; names: Map<Waiter, string> } {
  const costs = new Costs(() => now);
  const queue = new Queue(costs);
  const names = new Map<Waiter, string>();
  codes.forEach((by, i) => {
    const one = waiter();
    names.set(one, `${by}${i}`);
    queue.add(one, by);
  });
  return { queue, costs, names };
}

const order = ({ queue, names }: ReturnType<typeof queueOf>): string[] =>
  Array.from({ length: queue.size }, () => names.get(queue.take()!)!);

test('codes take turns, and of one code who came first is first', () => {
  expect(order(queueOf('a', 'a', 'a', 'b', 'c', 'b'))).toEqual(['a0', 'b3', 'c4', 'a1', 'b5', 'a2']);
});

test('the code whose answers cost least of late is next: the failures of one do not eat what the others need', () => {
  const line = queueOf('bad', 'bad', 'good', 'good', 'good');
  line.costs.paid('bad', 5);
  expect(order(line)).toEqual(['good2', 'good3', 'good4', 'bad0', 'bad1']);
});

test('costs fade, and nobody is kept out for good', () => {
  const line = queueOf('bad', ...Array.from({ length: 20 }, () => 'good'));
  line.costs.paid('bad', 5);
  expect(order(line).indexOf('bad0')).toBe(7);
  const later = queueOf('bad', 'good');
  later.costs.paid('bad', 5);
  later.costs.paid('good', 0.1);
  now += 60;
  expect(later.costs.get('bad')).toBeLessThan(0.1);
});

test('whoever leaves is not woken, and leaving twice does nothing', () => {
  const { queue } = queueOf();
  const [a, b] = [waiter(), waiter()];
  const leave = queue.add(a, 'x');
  queue.add(b, 'x');
  leave();
  leave();
  expect([queue.size, [...queue], queue.take(), queue.take(), queue.size]).toEqual([1, [b], b, undefined, 0]);
});
