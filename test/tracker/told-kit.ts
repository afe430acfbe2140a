/**
 * Nodes with a shift each that look at what all nodes are told when the test says so, for `told.test.ts`. The database
 * starts where this is imported.
 */
import { Told } from '../../activities/tracker/shift/told';
import type { NodeHolds } from '../../activities/tracker/shift/holds';
import { Database } from '../../activities/lib/database';
import { HoldError, type RunContext, type RunResult, type TrackerDefinition } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import type { TrackerHandle } from '../../client/tracker/handle';
import { Stack } from '../support/stack';
import type { freshness } from './shift-kit';
import { type Kit, log, member, rowOf, shiftOf, TestClock } from './shift-kit';

export let stack: Stack;
export let database: Database;
export let longwatch: Longwatch;
export let tracker: TrackerHandle;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
  longwatch = await stack.connect();
  tracker = longwatch.tracker('t');
});
afterAll(async () => {
  await database?.close();
  await stack?.close();
});

export const definition = (
  run: (context: RunContext) => RunResult,
  over: Partial<TrackerDefinition['operations'][string]> = {},
): TrackerDefinition => ({
  name: 't',
  operations: {
    look: { every: '1s', maxHold: '1h', run, ...over },
    other: { every: '1s', run: () => ({ value: 1 }) },
  },
});

beforeEach(async () => {
  await stack.sql('delete from longwatch.tracker');
  const { options } = rowOf(definition(() => ({ value: 1 })));
  await stack.sql('insert into longwatch.tracker (name, options) values ($1, $2)', ['t', JSON.stringify(options)]);
  await stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('t', 'a', 0, 1, 1), ('t', 'b', 1, 1, 1)`,
  );
});

export interface TestNode extends Kit {
  told: Told;
  /** The ids that `look` ran for, with what ETag. */
  runs: string[];
  look(): Promise<void>;
}

/**
 * A node at the time of the database, or before it, with ids a and b. The test turns its clock, which may outrun the
 * database's.
 */
export async function node(
  name: string,
  run: (context: RunContext, kit: Kit) => RunResult = () => ({ value: 1 }),
  over: Partial<TrackerDefinition['operations'][string]> = {},
  known: (ids: ReturnType<typeof member>[]) => ReturnType<typeof freshness>[] = () => [],
  behindMs = 0,
): Promise<TestNode> {
  const [{ now: databaseNow }] = (await stack.sql<{ now: number }>(
    'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
  )) as [{ now: number }];
  const now = databaseNow - behindMs;
  const runs: string[] = [];
  const kit: Kit = shiftOf(
    definition((context) => {
      runs.push(`${context.id}:${context.etag ?? '-'}`);
      return run(context, kit);
    }, over),
    { clock: new TestClock(now) },
  );
  const host = {
    holds: kit.host.holds as NodeHolds,
    shifts: new Set([kit.shift]),
    clock: kit.clock,
    log,
    row: { name },
  };
  const one = new Told(database, host);
  await one.start();
  const ids = [member('a', { addedAt: now - 60_000 }), member('b', { addedAt: now - 60_000 })];
  kit.shift.loadAll(ids, known(ids));
  return Object.assign(kit, { told: one, runs, look: () => one.look() });
}

export const refusing = ({ id }: RunContext): RunResult => {
  if (id === 'a') throw new HoldError('429 said the upstream', { afterMs: 600_000 });
  return { value: 1 };
};
