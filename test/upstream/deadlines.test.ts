/** The list of deadlines: what ends in which order, and what it lets go. */
import { DeadlineList, type Deadlined } from '../../activities/upstream/deadlines';
import { createUpstream } from '../../exports/upstream';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

beforeEach(() => jest.useFakeTimers());
afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

const ended: number[] = [];
beforeEach(() => ended.splice(0));

function call(name: number): Deadlined {
  return { previous: undefined, next: undefined, deadline: 0, expire: () => ended.push(name) };
}

test('calls end at the time-out, the oldest first, and those that were removed do not', () => {
  const list = new DeadlineList(1_000);
  const calls = [0, 1, 2, 3, 4].map(call);
  for (const one of calls) {
    list.add(one);
    jest.advanceTimersByTime(100);
  }
  // The first, one in the middle and the last.
  for (const k of [0, 2, 4]) list.remove(calls[k]!);
  jest.advanceTimersByTime(499);
  expect(ended).toEqual([]);
  jest.advanceTimersByTime(2_000);
  expect(ended).toEqual([1, 3]);
});

test('a list without calls has no timer, and starts one again', () => {
  const list = new DeadlineList(100);
  expect(jest.getTimerCount()).toBe(0);
  const one = call(1);
  list.add(one);
  list.remove(one);
  jest.advanceTimersByTime(50);
  expect(jest.getTimerCount()).toBe(0);
  list.add(call(2));
  jest.advanceTimersByTime(150);
  expect(ended).toEqual([2]);
});

test('removing a call twice, or one that has ended, changes nothing', () => {
  const list = new DeadlineList(100);
  const [one, two] = [call(1), call(2)];
  list.add(one);
  list.add(two);
  list.remove(one);
  list.remove(one);
  jest.advanceTimersByTime(200);
  list.remove(two);
  expect(ended).toEqual([2]);
});

test('the helper lets a call go as soon as it is answered', async () => {
  jest.useRealTimers();
  const server = http.createServer((_req, res) => res.end('{}'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const upstream = createUpstream({ origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const held = new Set<Deadlined>();
  const { add, remove } = DeadlineList.prototype;
  jest.spyOn(DeadlineList.prototype, 'add').mockImplementation(function (this: DeadlineList, one) {
    held.add(one);
    add.call(this, one);
  });
  const removed = jest.spyOn(DeadlineList.prototype, 'remove').mockImplementation(function (this: DeadlineList, one) {
    held.delete(one);
    remove.call(this, one);
  });
  await Promise.all(Array.from({ length: 20 }, () => upstream.get('/a')));
  await upstream.get('a').catch(() => undefined);
  expect(held.size).toBe(0);
  expect(removed).toHaveBeenCalledTimes(21);
  await upstream.close();
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
});
