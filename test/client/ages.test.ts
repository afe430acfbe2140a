/**
 * The ages that verbs show, on a terminal whose clock is three hours ahead of the database's or behind it: they go by
 * the database's, which has dated what is shown.
 */
import { BufferHandle } from '../../client/buffer/handle';
import { main } from '../../cli/main';
import { runCli } from '../support/cli';
import { keep, writeNode, writeTracker } from '../support/node-rows';
import { ALL_BUT_DATES } from '../support/other-clock';
import { Stack } from '../support/stack';

let stack: Stack;
const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);

/** All that has an age is five minutes old, and all that is to come is half an hour off. */
beforeAll(async () => {
  stack = await Stack.start();
  await writeTracker(sql, 'things', 1, 1);
  await sql(`insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('things', 'a', 0, 1, 1)`);
  // It is heard of for as long as the test runs.
  await keep(sql, { name: 'here', silentMs: -3_600_000, upMs: 600_000 }, 'things', [0], 1);
  await writeNode(sql, { name: 'gone', silentMs: 300_000, upMs: 600_000 });
  await sql(`update longwatch.pool set taken_at = now() - interval '5 minutes'`);
  await sql(
    `insert into longwatch.value (member, operation, fetched_at, failed_at, failures, error, held_until)
     select key, 'look', now() - interval '5 minutes', now() - interval '5 minutes', 1, 'no',
            now() + interval '30 minutes' from longwatch.member`,
  );
  await sql(
    `insert into longwatch.life (tracker, id, slot, version, state, written_at)
     values ('things', 'a', 0, 1, '1', now() - interval '5 minutes')`,
  );
  await sql(
    `insert into longwatch.member_dead (tracker, member, sender, json, attempts, error, died_at)
     values ('things', 'a', 's', '1', 8, 'no', now() - interval '5 minutes')`,
  );
  await sql(`insert into longwatch.buffer (name, options) values ('box', '{"shards": 1}')`);
  await sql(
    `insert into longwatch.buffer_dead (buffer, shard, entry, value, error, errors, attempts, died_at)
     values ('box', 0, 1, '1', 'no', '[]', 1, now() - interval '5 minutes')`,
  );
  await sql(
    `insert into longwatch.job (name, kind, options) values ('stamina', 'regen', '{"schedule": {"everyMs": 1000}}')`,
  );
  await sql(
    `insert into longwatch.tick (job, due, elapsed, ended_at)
     values ('stamina', now() - interval '6 minutes', 1, now() - interval '5 minutes')`,
  );
});
afterAll(() => stack?.close());

const HOUR = 3_600_000;
/** Minutes, of a machine that may be slow. */
const OLD = String.raw`\d+ min`;

test.each<[what: string, args: string[], shown: RegExp]>([
  ['where', ['where', 'things', 'a'], new RegExp(`kept by here for ${OLD}\n`)],
  ['alive', ['alive', 'things', 'a'], new RegExp(`kept by here for ${OLD}; last asked ${OLD} ago`)],
  ['pools', ['pools', 'things'], new RegExp(`here +- +${OLD} `)],
  ['members', ['members', 'things'], new RegExp(`^a +0 +here +${OLD} ago +look`, 'm')],
  ['failing members', ['members', 'things', '--failing'], new RegExp(`^a +look +0 +here +1 +${OLD} ago +no`, 'm')],
  ['show', ['show', 'things', 'a'], new RegExp(`^look +${OLD} +1 +${OLD} +[\\d: -]+ +failed: no`, 'm')],
  ['what holds one back', ['show', 'things', 'a', '--next'], /^look +(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d +/m],
  ['members that receive', ['member', 'list', 'things'], new RegExp(`^a +1 +1 B +${OLD} ago`, 'm')],
  ['dead letters of members', ['dead', 'list', 'things'], new RegExp(`^\\S+ +${OLD} ago +8 +a`, 'm')],
  ['dead letters of a buffer', ['dead', 'list', 'box'], new RegExp(`^0-1 +${OLD} ago`, 'm')],
  ['dead letters by error', ['dead', 'list', 'box', '--by-error'], new RegExp(`^ +1 +${OLD} ago +0-1`, 'm')],
  ['status: a job', ['status'], new RegExp(`^stamina +regen .* ${OLD} ago`, 'm')],
  ['status: a node that is gone', ['status'], new RegExp(`^gone: gone, last heard of ${OLD} ago`, 'm')],
  ['status of jobs', ['regen', 'status'], new RegExp(`^stamina +regen .* ${OLD} ago`, 'm')],
])('%s', async (_what, args, shown) => {
  for (const off of [0, 3 * HOUR, -3 * HOUR]) {
    jest.useFakeTimers({ now: Date.now() + off, doNotFake: ALL_BUT_DATES });
    const { out, err, status } = await runCli(stack, ...args).finally(() => jest.useRealTimers());
    expect({ off, out, err, status }).toEqual({ off, out: expect.stringMatching(shown) as string, err: '', status: 0 });
  }
});

test('an entry that is pushed for later waits by that clock too', async () => {
  const databaseNow = async () =>
    Number((await sql('select extract(epoch from clock_timestamp()) * 1000 as now'))[0]!.now);
  const pushed = jest.spyOn(BufferHandle.prototype, 'push').mockResolvedValue({ accepted: 1, messages: 1 });
  const before = await databaseNow();
  jest.useFakeTimers({ now: Date.now() + 3 * HOUR, doNotFake: ALL_BUT_DATES });
  const { status } = await runCli(stack, 'push', 'box', '1', '--after', '60').finally(() => jest.useRealTimers());
  const [[, options]] = pushed.mock.calls as [Parameters<BufferHandle['push']>];
  pushed.mockRestore();
  expect(status).toBe(0);
  expect(options?.at).toBeGreaterThanOrEqual(Math.floor(before) + 60_000);
  expect(options?.at).toBeLessThanOrEqual((await databaseNow()) + 60_000);
});

test('a tracker without operations has no table of them', async () => {
  await sql(`insert into longwatch.tracker (name, options) values ('rooms', '{"operations": {}}')`);
  const { out } = await runCli(stack, 'status', 'rooms');
  await sql(`delete from longwatch.tracker where name = 'rooms'`);
  expect(out).toMatch(/^rooms: running, 0 members, .*\n\nnodes: /);
});

test.each([[['where', 'things', 'a']], [['alive', 'things', 'a']], [['push', 'box', '1', '--after', '60']]])(
  '%j asks no replica for the time, since nothing else of it comes from there',
  async (args) => {
    const { temporalAddress, namespace, databaseUrl } = stack.servers;
    const environment = { DATABASE_URL: databaseUrl, READ_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' };
    const before = jest.replaceProperty(process, 'env', { ...process.env, ...environment });
    const spies = [
      jest.spyOn(BufferHandle.prototype, 'push').mockResolvedValue({ accepted: 1, messages: 1 }),
      jest.spyOn(process.stdout, 'write').mockReturnValue(true),
    ];
    try {
      expect(await main([...args, '--address', temporalAddress, '--namespace', namespace])).toBe(0);
    } finally {
      spies.forEach((spy) => spy.mockRestore());
      before.restore();
    }
  },
);
