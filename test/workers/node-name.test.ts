/** A node's name when its session is lost: asked for again, by one session at a time. */
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { NodeName } from '../../workers/node-name';
import { Proxy } from '../support/proxy';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
beforeAll(async () => (stack = await Stack.start()), 120_000);
afterAll(() => stack.close());
afterEach(() => jest.useRealTimers());

test('one session asks for a lost name, however long it has no answer; the name is then held again', async () => {
  // The clock of the looks alone.
  jest.useFakeTimers({
    doNotFake: [
      'Date',
      'hrtime',
      'nextTick',
      'performance',
      'queueMicrotask',
      'setImmediate',
      'setTimeout',
      'clearTimeout',
    ],
  });
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const proxy = await Proxy.start(stack.servers.databaseUrl);
  const database = new Database({ url: proxy.url, log });
  const asked = jest.spyOn(database, 'listener');
  const name = new NodeName(database, { name: 'kept', host: 'here', pid: 1, metricsUrl: null }, log);
  await name.start();
  try {
    const held = async () =>
      (
        await stack.sql<{ pid: number }>(`select pid from pg_locks where locktype = 'advisory' and classid = 460187`)
      )[0];
    const { pid } = (await held())!;
    const session = asked.mock.results[0]!.value as ReturnType<Database['listener']>;
    const lost = new Promise((resolve) => session.once('end', resolve));
    await stack.sql('select pg_terminate_backend($1)', [pid]);
    await lost;
    proxy.swallow();
    for (let look = 0; look < 5; look++) jest.advanceTimersByTime(5_000);
    expect(asked).toHaveBeenCalledTimes(2);
    proxy.pass();
    await eventually('the name is held again', async () => (await held())?.pid !== undefined);
    jest.advanceTimersByTime(20_000);
    expect(asked).toHaveBeenCalledTimes(2);
    expect(lines).toEqual([]);
  } finally {
    await name.stop();
    await database.close();
    proxy.close();
  }
});
