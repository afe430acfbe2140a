/**
 * A pool with states that are newer than the code of a node, on a real PostgreSQL: the node declines it before it takes
 * the fence, so that no message fails there, and a node whose code knows them takes it.
 */
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { Clock } from '../../activities/tracker/shift/clock';
import { take } from '../../activities/tracker/shift/take-pool';
import { Semaphore } from '../../activities/tracker/shift/semaphore';
import type { PlacingEvent } from '../../activities/tracker/shift/figures';
import { Stack } from '../support/stack';

const log = pino({ level: 'silent' });
let stack: Stack;
let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
});
afterAll(async () => {
  await database?.close();
  await stack?.close();
});

const half = 2 ** 31;
const takenTokens = () => stack.sql('select pool, node from longwatch.pool where node is not null order by pool');
/** A member of pool 0 (the lower half of the slots) or 1, whose state has this version. */
const life = (pool: number, id: string, schema: number, state: string | null = '0') =>
  stack.sql(`insert into longwatch.life (tracker, id, slot, version, schema, state) values ('t', $1, $2, 1, $3, $4)`, [
    id,
    pool * half + 7,
    schema,
    state,
  ]);

/** A node of which only this is known: the versions of its code. */
function takeOn(
  name: string,
  pool: number,
  version: number,
  attempt: number,
  down = {},
  waited?: () => Promise<unknown>,
) {
  const placed: PlacingEvent[] = [];
  const arriving = new Semaphore(1);
  const enter = async () => {
    await waited?.();
    return arriving.enter();
  };
  const node = {
    taking: new Semaphore(1),
    arriving: { enter },
    clock: new Clock(),
    isDraining: false,
    placing: { offer: () => ({ answer: 'take' as const }) },
    turns: { codeOf: () => ({ versions: { version, migrate: {}, down } }) },
    log,
    placed: (what: PlacingEvent) => placed.push(what),
  };
  const claim = { tracker: 't', pool, runId: `run ${pool}`, shift: 1, attempt, node: name };
  const temporal = { isCurrent: () => Promise.resolve(true) };
  const taken = take({ node, database, temporal }, claim, { tracker: 't', pool, shift: 1, durationMs: 60_000 });
  return { taken, placed };
}

test('a pool is declined where a state is newer than the code, later each time, and taken by code that knows it', async () => {
  await stack.sql(`insert into longwatch.tracker (name, options, pools) values ('t', '{"operations": {}}', 2)`);
  await life(0, 'newer', 3);
  await life(0, 'older', 1);
  await life(1, 'known', 2);
  // Nothing is read of it.
  await life(1, 'without', 3, null);
  const first = takeOn('old', 0, 2, 1);
  await expect(first.taken).rejects.toMatchObject({
    type: 'Declined',
    nextRetryDelay: 250,
    message: expect.stringMatching(/^pool 0 of t .*members: 1.* version 3, this code knows 2/) as string,
  });
  expect(first.placed).toEqual(['declined']);
  await expect(takeOn('old', 0, 2, 9).taken).rejects.toMatchObject({ type: 'Declined', nextRetryDelay: 5_000 });
  expect(await takenTokens()).toEqual([]);
  await expect(takeOn('old', 1, 2, 10).taken).resolves.toMatchObject({ fence: { token: 1 } });
  await expect(takeOn('newer', 0, 3, 11).taken).resolves.toMatchObject({ fence: { token: 1 } });
  await expect(takeOn('with a way back', 0, 2, 12, { 3: () => 0 }).taken).resolves.toMatchObject({
    fence: { token: 2 },
  });
  expect(await takenTokens()).toEqual([
    { pool: 0, node: 'with a way back' },
    { pool: 1, node: 'old' },
  ]);
});

test('a state that becomes newer while the pool waits to be taken counts: its keeper before goes on writing until then', async () => {
  await life(1, 'written meanwhile', 1);
  const writes = () => stack.sql(`update longwatch.life set schema = 3 where id = 'written meanwhile'`);
  const [before] = await stack.sql('select node, token, taken_at from longwatch.pool where pool = 1');
  const late = takeOn('old', 1, 2, 20, {}, writes);
  await expect(late.taken).rejects.toMatchObject({ type: 'Declined' });
  expect(late.placed).toEqual(['declined']);
  // Its keeper before has it as before.
  expect(await stack.sql('select node, token, taken_at from longwatch.pool where pool = 1')).toEqual([before]);
  await expect(takeOn('newer', 1, 3, 21).taken).resolves.toMatchObject({ fence: { token: 2 } });
});
