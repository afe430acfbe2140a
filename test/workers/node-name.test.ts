/** A node's name when its session is lost: asked for again, by one session at a time. */
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { NodeName } from '../../workers/node-name';
import { Proxy } from '../support/proxy';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
beforeAll(async () => (stack = await Stack.start()));
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

const rowOf = (name: string, pid = 1) => ({ name, host: 'here', pid, metricsUrl: null });
const silent = pino({ level: 'silent' });
async function onDatabase(work: (database: Database) => Promise<void>): Promise<void> {
  const database = new Database({ url: stack.servers.databaseUrl, log: silent });
  try {
    await work(database);
  } finally {
    await database.close();
  }
}

test('a name that is not free is waited for; it is taken with a greater incarnation as soon as it is', async () => {
  await onDatabase(async (database) => {
    const given = { given: true, timeoutMs: 60_000 };
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const first = new NodeName(database, rowOf('waited'), silent, given);
    await first.start();
    const second = new NodeName(database, rowOf('waited', 2), log, given);
    const started = second.start();
    await eventually('it waits', () => lines.length > 0);
    expect(lines[0]).toMatch(/another worker has the name waited; waiting for it/);
    expect(JSON.parse(lines[0]!)).toMatchObject({ host: 'here', pid: 1 });
    expect(second.incarnation).toBeUndefined();
    await first.stop();
    await started;
    expect(second.incarnation!.number).toBeGreaterThan(first.incarnation!.number);
    // A clean end is not a crash.
    expect(second.incarnation!.crashes).toBe(0);
    await second.stop();
    expect(
      await stack.sql(`select pid, ended_at is not null as ended from longwatch.node where name = 'waited'`),
    ).toEqual([{ pid: 2, ended: true }]);
  });
});

test('a worker that is to end does not wait for a name any longer', async () => {
  await onDatabase(async (database) => {
    const given = { given: true, timeoutMs: 60_000 };
    const first = new NodeName(database, rowOf('kept on'), silent, given);
    await first.start();
    const second = new NodeName(database, rowOf('kept on', 2), silent, given);
    const started = second.start();
    await second.stop();
    await started;
    expect(second.incarnation).toBeUndefined();
    await first.stop();
  });
});

test('a name that was made up is noted with an incarnation as well, and holds no session', async () => {
  await onDatabase(async (database) => {
    const asked = jest.spyOn(database, 'listener');
    const name = new NodeName(database, rowOf('made-up-x7'), silent, { given: false, timeoutMs: 0 });
    await name.start();
    expect(name.incarnation!.number).toBeGreaterThan(0);
    expect(asked).not.toHaveBeenCalled();
    await name.stop();
  });
});
