/** Questions of many that go by one statement. */
import { Together } from '../../../activities/tracker/turns/together';

test('what is asked in one moment, and while a statement is under way, goes together; each gets its own answer', async () => {
  const asked: (readonly number[])[] = [];
  const together = new Together<number, number>(async (all) => {
    asked.push(all);
    await Promise.resolve();
    return all.map((one) => one * 10);
  });
  const first = Promise.all([1, 2].map((one) => together.ask(one)));
  await Promise.resolve();
  const second = Promise.all([3, 4].map((one) => together.ask(one)));
  expect(await first).toEqual([10, 20]);
  expect(await second).toEqual([30, 40]);
  expect(asked).toEqual([
    [1, 2],
    [3, 4],
  ]);
  expect(await Promise.all(Array.from({ length: 1_200 }, (_, i) => together.ask(i)))).toHaveLength(1_200);
  expect(asked.slice(2).map(({ length }) => length)).toEqual([500, 500, 200]);
});

test('a statement that fails is the failure of those in it, and of no others', async () => {
  let fails = true;
  const together = new Together<number, number>((all) =>
    fails ? Promise.reject(new Error('away')) : Promise.resolve(all),
  );
  await expect(together.ask(1)).rejects.toThrow('away');
  fails = false;
  expect(await together.ask(2)).toBe(2);
});
