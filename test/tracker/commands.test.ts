/**
 * An operator's commands to a tracker, on the real PostgreSQL: attempts that come twice, late, or after a later
 * command.
 */
import { pino } from 'pino';
import {
  declareOptions,
  openTracker,
  setOptions,
  setTrackerState,
  type Taking,
} from '../../activities/tracker/roster/commands';
import { Database } from '../../activities/lib/database';
import { defineTracker } from '../../exports';
import type { CommandMark } from '../../workflows/tracker/contract';
import type { OperationOptions, TrackerOptions } from '../../workflows/tracker/options';
import { Stack } from '../support/stack';
import { rowOf } from './shift-kit';
import type { OptionChange } from '../../workflows/lib/options';

const OPTIONS = rowOf(
  defineTracker({ name: 't', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }),
).options;
const OTHER = { ...OPTIONS, poolSize: 77 };

let stack: Stack;
let database: Database;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(() => stack.sql(`delete from longwatch.tracker`));

const taking = (command: string, isCurrent = true): Taking => ({
  command,
  isCurrent: () => Promise.resolve(isCurrent),
});
const open = (command: string, options: typeof OPTIONS | undefined = undefined, isCurrent = true) =>
  openTracker(database, { tracker: 't', options }, taking(command, isCurrent));
const set = (state: 'running' | 'paused' | 'stopped', after: string, is: string) =>
  setTrackerState(database, { tracker: 't', state, mark: { after, is } });
const now = async () =>
  (
    await stack.sql<{ state: string; version: number; pool_size: number; changes: unknown }>(
      `select state, version::int, (options ->> 'poolSize')::int as pool_size, changes from longwatch.tracker`,
    )
  )[0]!;

describe('an attempt that was held up, and goes on after a later command, changes nothing', () => {
  beforeEach(() => open('opened', OPTIONS));

  test('paused after resume', async () => {
    await set('paused', 'opened', 'pause');
    await set('running', 'pause', 'resume');
    await expect(set('paused', 'opened', 'pause')).rejects.toMatchObject({ type: 'Superseded', nonRetryable: true });
    expect(await now()).toMatchObject({ state: 'running' });
  });

  test('running after stop', async () => {
    await set('paused', 'opened', 'pause');
    await set('running', 'pause', 'resume');
    await set('stopped', 'resume', 'stop');
    await expect(set('running', 'pause', 'resume')).rejects.toMatchObject({ type: 'Superseded' });
    expect(await now()).toMatchObject({ state: 'stopped' });
  });

  test.each<[string, (mark: CommandMark) => Promise<unknown>]>([
    ['declared', (mark) => declareOptions(database, { tracker: 't', options: OTHER, mark })],
    ['set by hand', (mark) => setOptions(database, { tracker: 't', changes: [{ path: 'poolSize', value: 77 }], mark })],
  ])('older options, %s', async (_how, late) => {
    const before = await now();
    await set('paused', 'opened', 'pause');
    await expect(late({ after: 'opened', is: 'late' })).rejects.toMatchObject({ type: 'Superseded' });
    expect(await now()).toEqual({ ...before, state: 'paused', version: before.version + 1 });
  });
});

test('a command whose answer was lost is carried out once, and says the same again', async () => {
  await open('opened', OPTIONS);
  expect(await set('paused', 'opened', 'pause')).toEqual({ state: 'paused', changed: true });
  const { version } = await now();
  expect(await set('paused', 'opened', 'pause')).toEqual({ state: 'paused', changed: true });
  const declare = { tracker: 't', options: OTHER, mark: { after: 'pause', is: 'declare' } };
  const first = await declareOptions(database, declare);
  expect(await declareOptions(database, declare)).toEqual(first);
  expect(await now()).toMatchObject({ version: version + 1, pool_size: 77 });
});

test('a command that changes nothing leaves the name of the one before it', async () => {
  await open('opened', OPTIONS);
  expect(await set('running', 'opened', 'resume')).toEqual({ state: 'running', changed: false });
  expect(await set('paused', 'opened', 'pause')).toEqual({ state: 'paused', changed: true });
});

test('the gate’s answers are no commands: they raise the version, and the next command holds', async () => {
  await open('opened', OPTIONS);
  await stack.sql(`update longwatch.tracker set gate_open = true, version = version + 1`);
  expect(await set('paused', 'opened', 'pause')).toMatchObject({ changed: true });
});

describe('an opening', () => {
  test('ends the commands of whichever root was there before', async () => {
    await open('first', OPTIONS);
    expect(await open('second')).toMatchObject({ command: 'second', state: 'running' });
    await expect(set('stopped', 'first', 'stop')).rejects.toMatchObject({ type: 'Superseded' });
    expect(await set('paused', 'second', 'pause')).toMatchObject({ changed: true });
  });

  test('of a run that is not the current one takes nothing', async () => {
    await open('first', OPTIONS);
    await set('stopped', 'first', 'stop');
    await expect(open('late', OTHER, false)).rejects.toMatchObject({ type: 'TrackerNotCurrent', nonRetryable: true });
    expect(await now()).toMatchObject({ state: 'stopped', pool_size: OPTIONS.poolSize });
  });

  test('that is held up after Temporal was asked, while another root comes, looks again', async () => {
    await open('first', OPTIONS);
    const late = openTracker(
      database,
      { tracker: 't', options: OTHER },
      {
        command: 'late',
        isCurrent: async () => {
          // True when it was asked; by the time it goes on, the next root has taken the tracker, and stopped it.
          await open('next');
          await set('stopped', 'next', 'stop');
          return true;
        },
      },
    );
    await expect(late).rejects.toThrow('looking again');
    expect(await now()).toMatchObject({ state: 'stopped', pool_size: OPTIONS.poolSize });
  });

  test('twice, its first answer being lost, is one', async () => {
    await open('first', OPTIONS);
    const before = await now();
    expect(await open('first', OTHER)).toMatchObject({ command: 'first' });
    expect(await now()).toEqual(before);
  });

  test('starts a stopped tracker again with the options that it was given', async () => {
    await open('first', OPTIONS);
    await set('stopped', 'first', 'stop');
    expect(await open('second', OTHER)).toMatchObject({ state: 'running' });
    expect(await now()).toMatchObject({ state: 'running', pool_size: 77 });
  });
});

describe('options that are set only where the row has the version that was read', () => {
  beforeEach(() => open('opened', OPTIONS));
  const setWhere = (value: number, expects: number, is: string, after = 'opened') =>
    setOptions(database, { tracker: 't', changes: [{ path: 'poolSize', value }], expects, mark: { after, is } });

  test('another version: nothing is set, and it is not tried again', async () => {
    const { version } = await now();
    await expect(setWhere(77, version - 1, 'set')).rejects.toMatchObject({ type: 'Changed', nonRetryable: true });
    expect(await now()).toMatchObject({ version, changes: {} });
    expect(await setWhere(77, version, 'set')).toEqual({ changed: true, version: version + 1 });
  });

  test('an attempt whose answer was lost, and one for what is there already, are no conflict', async () => {
    const { version } = await now();
    await setWhere(77, version, 'set');
    expect(await setWhere(77, version, 'set')).toEqual({ changed: true, version: version + 1 });
    expect(await setWhere(77, version, 'again', 'set')).toEqual({ changed: false, version: version + 1 });
  });
});

describe('since when an operation runs is noted where it begins after the tracker’s start, by the database’s clock', () => {
  const withOperations = (names: string[], over: Partial<OperationOptions> = {}): TrackerOptions => {
    const look = { ...OPTIONS.operations.look!, ...over };
    return { ...OPTIONS, operations: Object.fromEntries(names.map((name) => [name, look])) };
  };
  const read = async () => {
    const [row] = await stack.sql<{ since: Record<string, number>; now: number }>(
      `select since, (extract(epoch from clock_timestamp()) * 1000)::float8 as now from longwatch.tracker`,
    );
    return row!;
  };
  const declare = (options: TrackerOptions) => declareOptions(database, { tracker: 't', options });
  const setTo = (path: string, value: OptionChange['value']) =>
    setOptions(database, { tracker: 't', changes: [{ path, value }] });

  test('declared: it has a time, what was there before has none, and what is gone loses it', async () => {
    await open('opened', withOperations(['look']));
    expect((await read()).since).toEqual({});
    const before = (await read()).now;
    await declare(withOperations(['look', 'scan', 'constructor'], { enabled: true }));
    const { since, now: after } = await read();
    expect(Object.keys(since).sort()).toEqual(['constructor', 'scan']);
    for (const at of Object.values(since)) {
      expect(at).toBeGreaterThanOrEqual(before);
      expect(at).toBeLessThanOrEqual(after);
    }
    // Other options, and the same once more, leave it as it is.
    await declare(withOperations(['look', 'scan', 'constructor'], { everyMs: 7_000 }));
    await setTo('operations.scan.everyMs', 9_000);
    expect((await read()).since).toEqual(since);
    await declare(withOperations(['look', 'scan']));
    expect((await read()).since).toEqual({ scan: since.scan });
    await declare(withOperations(['look']));
    await declare(withOperations(['look', 'scan']));
    expect((await read()).since.scan).toBeGreaterThan(since.scan!);
  });

  test('enabled: by the definition or by hand, over which the definition says nothing', async () => {
    await open('opened', withOperations(['look'], { enabled: false }));
    await setTo('operations.look.enabled', true);
    const first = (await read()).since.look!;
    expect(first).toBeGreaterThan(0);
    // It runs already.
    await declare(withOperations(['look'], { enabled: true }));
    expect((await read()).since.look).toBe(first);
    await setTo('operations.look.enabled', false);
    expect((await read()).since.look).toBe(first);
    await setTo('operations.look.enabled', null);
    expect((await read()).since.look).toBeGreaterThan(first);
  });

  test('a new root that brings an operation along', async () => {
    await open('opened', withOperations(['look']));
    await open('again', withOperations(['look', 'scan']));
    expect(Object.keys((await read()).since)).toEqual(['scan']);
  });
});
