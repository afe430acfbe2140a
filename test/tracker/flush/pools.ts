/**
 * Pools in memory and in the database, and writers over them, for the parts of `flush.test.ts`. The database starts
 * where this is imported; each test begins without pools and members.
 */
import { pino } from 'pino';
import { BufferFeed } from '../../../activities/buffer/feed';
import { takeFence, type PoolClaim } from '../../../activities/tracker/store/fence';
import { setPointHook } from '../../../activities/lib/points';
import type { Clock } from '../../../activities/tracker/shift/clock';
import { ValueFeed } from '../../../activities/tracker/shift/feed';
import type { Operation } from '../../../activities/tracker/shift/host';
import type { PoolShift } from '../../../activities/tracker/shift/pool-shift';
import { Writer, type WriterHost } from '../../../activities/tracker/shift/writer';
import { Database, VALUES_LIMITS } from '../../../activities/lib/database';
import { defineBuffer, defineTracker, resolveConfig, type RunResult, type TrackerDefinition } from '../../../exports';
import { Stack } from '../../support/stack';
import { member, rowOf, shiftOf, type Kit, type TestClock } from '../shift-kit';

export const log = pino({ level: 'silent' });
export let stack: Stack;
export let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS });
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', $1)`, [
    JSON.stringify(rowOf(trackerOf(() => ({ value: 1 }))).options),
  ]);
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
export let closing: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  closing = [];
  await stack.sql(`delete from longwatch.pool`);
  await stack.sql(`delete from longwatch.member`);
  await stack.sql(`delete from longwatch.buffer_outbox`);
  await stack.sql(`delete from longwatch.buffer_chunk`);
});
afterEach(async () => {
  setPointHook(undefined);
  for (const close of closing.reverse()) await close();
});

type Code = (context: { id: string; etag?: string }) => RunResult | Promise<RunResult>;
export function trackerOf(run: Code, over: object = {}): TrackerDefinition {
  return defineTracker({
    name: 't',
    operations: { look: { every: '50ms', stagger: { window: 0 }, run, ...over } },
  });
}

interface Node {
  writer: Writer;
  fenced: PoolShift[];
  errors: { id: string; error: Error }[];
  outcomes: ({ rows: number; ms: number } | { error: Error })[];
}

/** A node's writer over these shifts. */
export function writerOf(kits: Kit[], on: Database = database, more: Partial<WriterHost> = {}): Node {
  const node: Omit<Node, 'writer'> = { fenced: [], errors: [], outcomes: [] };
  const host: WriterHost = {
    shifts: new Set(kits.map((kit) => kit.shift)),
    trackers: new Map(),
    clock: kits[0]!.host.clock,
    log,
    onError: (error, _operation, id) => node.errors.push({ id, error }),
    flushed: (outcome) => node.outcomes.push(outcome),
    fenced: (shift) => {
      node.fenced.push(shift);
      shift.end('fenced');
    },
    ...more,
  };
  const writer = new Writer(on, host);
  closing.push(() => writer.stop());
  return { ...node, writer };
}

let shifts = 0;
export const claimOf = (pool: number): PoolClaim => ({
  tracker: 't',
  pool,
  runId: 'r',
  shift: ++shifts,
  attempt: 1,
  node: 'n',
});
export const never = () => Promise.reject(new Error('Temporal must not be asked'));

/** A pool whose members are in the database and in a shift, with nothing fetched yet. */
export async function poolOf(
  pool: number,
  ids: string[],
  definition: TrackerDefinition,
  clock: TestClock,
): Promise<Kit> {
  const claim = claimOf(pool);
  const fence = await takeFence(database, claim, never);
  const rows = await stack.sql<{ key: number; id: string }>(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version) select 't', id, 0, 1, 0 from unnest($1::text[]) id
     returning key::int, id`,
    [ids],
  );
  const kit = shiftOf(definition, { claim, token: fence.token, clock });
  kit.shift.rosterVersion = fence.rosterVersion;
  kit.shift.loadAll(
    rows.map(({ id, key }) => member(id, { key })),
    [],
  );
  return kit;
}

export const valueOf = async (id: string) =>
  (
    await stack.sql<{ value: unknown; etag: string | null; failures: number; error: string | null }>(
      `select v.value, v.etag, v.failures, v.error from longwatch.value v join longwatch.member m on m.key = v.member where m.id = $1`,
      [id],
    )
  )[0];
export const valuesOf = async () =>
  (
    await stack.sql<{ id: string }>(
      `select m.id from longwatch.value v join longwatch.member m on m.key = v.member where v.value is not null order by m.id`,
    )
  ).map(({ id }) => id);

/** A trigger that does this where a row is so. */
export async function failing(where: string, statement: string): Promise<void> {
  await stack.sql(`create function longwatch.refuse() returns trigger language plpgsql as $$
    begin if ${where} then ${statement}; end if; return new; end $$`);
  await stack.sql(
    `create trigger refuse before insert or update on longwatch.value for each row execute function longwatch.refuse()`,
  );
  closing.push(() => stack.sql('drop function longwatch.refuse cascade'));
}

export function feedOf(
  definition: TrackerDefinition,
  clock: Clock,
  key?: string | ((entry: unknown) => string),
  failed: (error: Error, buffer: string, loop: Operation, id: string) => void = (error) => {
    throw error;
  },
): ValueFeed {
  const buffer = resolveConfig({
    buffers: [defineBuffer({ name: 'b', run: () => undefined, ...(key === undefined ? {} : { key: key }) })],
  }).buffers[0]!;
  const push = () => Promise.reject(new Error('nobody is told here'));
  const feed = new BufferFeed(new Map([['b', buffer]]), database, push, log);
  const look = { ...definition.operations.look!, buffer: 'b' };
  return new ValueFeed(new Map([[definition.name, { ...definition, operations: { look } }]]), feed, clock, failed);
}

/** The entries that the buffer has been given, in the order in which it was. */
export async function entriesFed(): Promise<{ id: string; value: unknown }[]> {
  const rows = await stack.sql<{ entries: string }>(
    `select c.entries from longwatch.buffer_outbox o join longwatch.buffer_chunk c on c.buffer = o.buffer and c.id = o.id
     order by o.made_at, o.seq`,
  );
  return rows.flatMap(({ entries }) => JSON.parse(entries) as { id: string; value: unknown }[]);
}
