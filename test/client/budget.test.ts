/** Budgets, seen and steered, on the real PostgreSQL: what is listed, closed and opened, and what is refused. */
import { Client } from 'pg';
import type { Longwatch } from '../../client/longwatch';
import { InvalidBucketError, RefusedError, UnknownBucketError } from '../../client/errors';
import { writeBuckets } from '../support/buckets';
import { runCli } from '../support/cli';
import { Stack } from '../support/stack';

const PROCESS = ':0b5e1f0e-5a3c-4f0f-9f5b-2f6f3f1c9a11';

let stack: Stack;
let longwatch: Longwatch;
let db: Client;
beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
  db = new Client({ connectionString: stack.servers.databaseUrl });
  await db.connect();
});
afterAll(async () => {
  await db?.end();
  await stack?.close();
});
beforeEach(async () => {
  await stack.sql('truncate longwatch.budget, longwatch.budget_closing, longwatch.audit');
  await writeBuckets(db, [
    {
      upstream: 'esi',
      limit: 'errors',
      key: '10.0.0.7',
      tokens: 100,
      window: 60,
      spent: 30,
      parts: [{ node: `one${PROCESS}`, wants: 2.5, granted: 12, settled: 5 }],
    },
    { upstream: 'esi', limit: 'group', key: 'char-location:90000001', tokens: 1_200, window: 900, spent: 0 },
    { upstream: 'esi', limit: 'group', key: '#5fRk3oYw1xq8s2aBcDeFgHiJkLmNoPqR', spent: 1 },
  ]);
});

const bucketsOf = async (filter = {}) => (await longwatch.budget.list(filter)).map(({ bucket }) => bucket);

test('what is left is what nobody has spent or holds; a node has its name, a secret key its hash', async () => {
  const [errors, unknown, location] = await longwatch.budget.list();
  expect(errors).toMatchObject({
    bucket: 'esi/errors:10.0.0.7',
    tokens: 100,
    windowMs: 60_000,
    spent: 30,
    held: 7,
    remaining: 63,
    nodes: [{ node: 'one', wants: 2.5, has: 7 }],
    closedUntil: null,
    closedMs: 0,
  });
  expect(unknown).toMatchObject({ key: '#5fRk3oYw…', tokens: null, remaining: null });
  expect(location).toMatchObject({ bucket: 'esi/group:char-location:90000001', remaining: 1_200, nodes: [] });
});

test('the list goes on after a bucket, and is of one limit or key', async () => {
  const [first, second, third] = await bucketsOf();
  expect(await bucketsOf({ most: 1 })).toEqual([first]);
  expect(await bucketsOf({ after: first, most: 1 })).toEqual([second]);
  expect(await bucketsOf({ after: third })).toEqual([]);
  expect(await bucketsOf({ limit: 'group' })).toEqual([second, third]);
  expect(await bucketsOf({ key: '10.0.0.7' })).toEqual([first]);
  expect(await bucketsOf({ upstream: 'other' })).toEqual([]);
});

test('a limit of more keys than one statement takes is closed whole', async () => {
  const keys = Array.from({ length: 10_100 }, (_, n) => `k${n}`);
  await writeBuckets(
    db,
    keys.map((key) => ({ upstream: 'esi', limit: 'many', key, tokens: 10, window: 60, spent: 0 })),
  );
  expect(await longwatch.budget.close('esi/many', 60_000)).toHaveLength(10_100);
  const [{ closed }] = (await stack.sql(
    `select count(*)::int as closed from longwatch.budget where closed_until > now() and limit_name = 'many'`,
  )) as [{ closed: number }];
  expect(closed).toBe(10_100);
  const [audited] = await longwatch.audit({ limit: 1 });
  expect(audited).toMatchObject({ before: { buckets: 10_100, closed: 0 }, after: { buckets: 10_100, closed: 10_100 } });
});

test('of a limit of many keys few are locked at once: where one cannot be had, the command says so, and what it has done stays', async () => {
  const keys = Array.from({ length: 500 }, (_, n) => `k${n}`);
  await writeBuckets(
    db,
    keys.map((key) => ({ upstream: 'esi', limit: 'many', key, tokens: 10, window: 60, spent: 0 })),
  );
  const closedKeys = async () =>
    stack.sql<{ key: string }>(
      `select key from longwatch.budget where closed_until > now() and limit_name = 'many' order by key`,
    );
  const all = (await longwatch.budget.list({ limit: 'many', most: 500 })).map(({ key }) => key);
  /** While somebody has the last one. */
  const held = async (command: () => Promise<unknown>): Promise<void> => {
    await db.query('begin');
    await db.query(`select from longwatch.budget where limit_name = 'many' and key = $1 for update`, [all.at(-1)]);
    await expect(command())
      .rejects.toThrow()
      .finally(() => db.query('rollback'));
  };
  await held(() => longwatch.budget.close('esi/many', 600_000, { why: 'they asked us' }));
  const closed = (await closedKeys()).map(({ key }) => key);
  expect(closed.length).toBeGreaterThanOrEqual(200);
  expect(closed).not.toContain(all.at(-1));
  // Nodes follow it, for keys that have no row yet as well.
  expect(await longwatch.budget.closedLimits()).toMatchObject([{ bucket: 'esi/many', closedReason: 'they asked us' }]);
  expect((await longwatch.audit({ limit: 1 }))[0]).toMatchObject({
    what: 'budget close',
    before: { buckets: 500, closed: 0 },
    outcome: 'unknown',
    error: expect.any(String) as string,
  });

  expect(await longwatch.budget.close('esi/many', 600_000)).toHaveLength(500);
  await held(() => longwatch.budget.open('esi/many'));
  expect((await closedKeys()).length).toBeLessThanOrEqual(300);
  expect(await longwatch.budget.closedLimits()).toHaveLength(1);
  const opened = await longwatch.budget.open('esi/many');
  expect(opened.filter(({ closedMs }) => closedMs > 0)).toEqual([]);
  expect(await longwatch.budget.closedLimits()).toEqual([]);
  expect((await longwatch.audit({ limit: 1 }))[0]).toMatchObject({ what: 'budget open', outcome: 'done' });
});

test('a key that is forgotten meanwhile does not end the command for those that come after it', async () => {
  const keys = Array.from({ length: 450 }, (_, n) => `k${n}`);
  await writeBuckets(
    db,
    keys.map((key) => ({ upstream: 'esi', limit: 'many', key, tokens: 10, window: 60, spent: 0 })),
  );
  const sorted = (await longwatch.budget.list({ limit: 'many', most: 500 })).map(({ key }) => key);
  await longwatch.budget.close('esi/many', 600_000);
  await db.query(`
    create function public.forget_one() returns trigger language plpgsql as
      $$ begin delete from longwatch.budget where limit_name = 'many' and key = '${sorted[100]}'; return null; end $$;
    create trigger forget_one after update on longwatch.budget for each statement execute function public.forget_one()`);
  try {
    expect(await longwatch.budget.open('esi/many')).toHaveLength(449);
  } finally {
    await db.query('drop trigger forget_one on longwatch.budget; drop function public.forget_one');
  }
  expect(await stack.sql('select from longwatch.budget where closed_until > now()')).toEqual([]);
});

test('a limit is closed for all of its keys and opened for one, and the audit has both', async () => {
  const closed = await longwatch.budget.close('esi/group', 300_000, { why: 'they asked us' });
  expect(closed.map(({ closedReason }) => closedReason)).toEqual(['they asked us', 'they asked us']);
  for (const { closedMs } of closed) expect(closedMs).toBeGreaterThan(200_000);
  expect((await longwatch.budget.show('esi/errors:10.0.0.7')).closedMs).toBe(0);

  const opened = await longwatch.budget.open('esi/group:char-location:90000001');
  expect(opened).toMatchObject([{ closedMs: 0, closedReason: null }]);
  expect(await longwatch.audit()).toMatchObject([
    { what: 'budget open', subject: 'upstream/esi', before: { closed: 1 }, after: { closed: 0 } },
    {
      what: 'budget close',
      subject: 'upstream/esi',
      why: 'they asked us',
      before: { buckets: 2, closed: 0 },
      after: { buckets: 2, closed: 2 },
    },
  ]);
});

test('what is not a bucket is refused, and what nobody has spent from says which there are', async () => {
  for (const wrong of ['', 'esi', '/errors', 'esi/', 'esi/:1', 'esi/errors:nul \0', 'esi/errors:half \ud800']) {
    await expect(longwatch.budget.close(wrong, 1_000)).rejects.toThrow(InvalidBucketError);
  }
  await expect(longwatch.budget.show('esi/errors')).rejects.toThrow(InvalidBucketError);
  const missing = longwatch.budget.open('esi/errors:1');
  await expect(missing).rejects.toThrow(UnknownBucketError);
  await expect(missing).rejects.toThrow('esi/errors:10.0.0.7');
  expect(await longwatch.audit()).toEqual([]);
});

test('a time that cannot be closes nothing and says so; a year is as long as it gets, and is opened again', async () => {
  const year = 366 * 86_400_000;
  for (const bucket of ['esi/errors', 'esi/errors:10.0.0.7'])
    for (const time of [Infinity, NaN, 1e300, year + 1, 0, -5])
      await expect(longwatch.budget.close(bucket, time)).rejects.toThrow(RefusedError);
  expect(await longwatch.audit()).toEqual([]);
  expect(await longwatch.budget.closedLimits()).toEqual([]);
  const said = await runCli(stack, 'budget', 'close', 'esi/errors', '--for', `${'9'.repeat(60)}y`);
  expect(said).toMatchObject({ status: 2 });
  expect(said.err).toMatch(/a year \(366d\) at most/);
  const [closed] = await longwatch.budget.close('esi/errors', year);
  expect(closed!.closedMs).toBeGreaterThan(year - 60_000);
  expect(await longwatch.budget.open('esi/errors')).toMatchObject([{ closedMs: 0 }]);
  expect(await longwatch.budget.closedLimits()).toEqual([]);
});

test('a reason that PostgreSQL could not keep, or of a megabyte, closes as any other', async () => {
  const why = `nul \0 ${'и'.repeat(500_000)}`;
  const [closed] = await longwatch.budget.close('esi/errors', 60_000, { why });
  expect(closed!.closedReason).toMatch(/^nul . и+…$/u);
  expect(Buffer.byteLength(closed!.closedReason!)).toBeLessThanOrEqual(500);
  await longwatch.budget.open('esi/errors');
});

test('a limit of which nothing is closed is opened without a word; one that there is not is refused', async () => {
  await stack.sql(`insert into longwatch.upstream (name, options) values ('idle', '{"limits": {"all": {}}}')`);
  expect(await longwatch.budget.open('idle/all')).toEqual([]);
  expect(await longwatch.budget.open('idle/all')).toEqual([]);
  await expect(longwatch.budget.open('idle/oll')).rejects.toThrow(UnknownBucketError);
  await expect(longwatch.budget.close('idle/constructor', 1_000)).rejects.toThrow(UnknownBucketError);
  // It has left the config since it was closed.
  await longwatch.budget.close('idle/all', 60_000);
  await stack.sql('delete from longwatch.upstream');
  await longwatch.budget.open('idle/all');
  expect(await longwatch.budget.closedLimits()).toEqual([]);
});

test('members’ own buckets: counted in the list, and one member’s with all of its groups', async () => {
  await stack.sql(`insert into longwatch.tracker (name, options) values ('characters', '{}')`);
  await stack.sql(`insert into longwatch.member (tracker, id, hash, stamp, roster_version)
    values ('characters', '90000001', 1, 1, 1), ('characters', '90000002', 2, 1, 1)`);
  await stack.sql(
    `insert into longwatch.upstream (name, options) values ('esi', '{"limits": {"group": {"tokens": 150}}}')`,
  );
  // Slots are a thirtieth of a window long, counted from 2024 on; the newest first.
  await stack.sql(`insert into longwatch.budget_member
      (member, upstream, limit_name, key_group, window_seconds, slot, tokens, late_slot, late_tokens, closed_until)
    select m.key, 'esi', 'group', g.name, 900, s.now, array[5, 7, 0, 1], s.now + 1, 3, g.until
    from longwatch.member m, (values ('char-location:*', null),
      ('#5fRk3oYw1xq8s2aBcDeFgHiJkLmNoPqR', extract(epoch from now()) + 300)) g (name, until),
      (select floor((extract(epoch from now()) - 1704067200) / 30) as now) s`);
  const own = await longwatch.budget.ofMember('90000001');
  expect(own).toMatchObject([
    { key: '#5fRk3oYw1xq8s2aBcDeFgHiJkLmNoPqR', spent: 16, remaining: 134, closedMs: expect.any(Number) as number },
    {
      bucket: 'esi/group:char-location:90000001',
      tracker: 'characters',
      member: '90000001',
      tokens: 150,
      windowMs: 900_000,
      spent: 16,
      closedUntil: null,
    },
  ]);
  expect(own[0]!.closedMs).toBeGreaterThan(200_000);
  expect(await longwatch.budget.ofMember('90000001', 'other')).toEqual([]);
  const list = await runCli(stack, 'budget', 'list', 'esi');
  expect(list.out).toContain("esi/group: 4 are single members' own");
  const [counted] = JSON.parse((await runCli(stack, 'budget', 'list', 'esi', '--json')).out) as unknown[];
  expect(counted).toEqual({ bucket: 'esi/group', upstream: 'esi', limit: 'group', memberBuckets: 4 });
  const errors = await runCli(stack, 'budget', 'list', 'esi', '--limit', 'errors', '--json');
  expect(JSON.parse(errors.out)).toMatchObject([{ bucket: 'esi/errors:10.0.0.7' }]);
  // Names stand whole, as the other verbs take them.
  expect(list.out).toContain('esi/group:#5fRk3oYw1xq8s2aBcDeFgHiJkLmNoPqR');
  const one = await runCli(stack, 'budget', 'list', 'esi', '--member', '90000001');
  expect(one.out).toMatch(/esi\/group:char-location:90000001\s+characters\s+134\s+150\s+15 min\s+16\s+open/);
  const { out } = await runCli(stack, 'budget', 'list', '--member', '90000001', '--json');
  expect(JSON.parse(out)).toHaveLength(2);
  expect((await runCli(stack, 'budget', 'list', '--member', 'nobody')).out).toContain("no bucket is nobody's own");
  // A window later all of it is back, and what was late is not yet.
  await stack.sql('update longwatch.budget_member set slot = slot - 31, late_slot = late_slot + 31');
  expect(await longwatch.budget.ofMember('90000001')).toMatchObject([{ spent: 3 }, { spent: 3 }]);
  await stack.sql(`delete from longwatch.tracker; delete from longwatch.upstream`);
});

test('the command line: list, show, close, open; a wrong time or bucket is status 2', async () => {
  const list = await runCli(stack, 'budget', 'list');
  expect(list.out).toMatch(/esi\/errors:10\.0\.0\.7\s+63\s+100\s+1 min\s+30\s+7\s+1\s+open/);
  expect(list.out).toContain('not known yet: one request at a time');
  expect((await runCli(stack, 'budget', 'list', '--most', '1')).out).toContain('--after esi/errors:10.0.0.7');
  const closed = await runCli(stack, 'budget', 'close', 'esi/errors:10.0.0.7', '--for', '5m', '--why', 'too many');
  expect(closed.out).toContain('closed for 5 min');
  expect((await runCli(stack, 'budget', 'show', 'esi/errors:10.0.0.7')).out).toMatch(/closed for .*: too many/);
  expect((await runCli(stack, 'budget', 'open', 'esi/errors:10.0.0.7')).status).toBe(0);
  expect(await runCli(stack, 'budget', 'close', 'esi/errors', '--for', 'long')).toMatchObject({ status: 2 });
  expect(await runCli(stack, 'budget', 'close', 'esi/errors')).toMatchObject({ status: 2 });
  expect(await runCli(stack, 'budget', 'show', 'esi')).toMatchObject({ status: 2 });
  expect(await runCli(stack, 'budget', 'set', 'esi', 'limits')).toMatchObject({ status: 2 });
  const nobody = await runCli(stack, 'budget', 'list', 'nobody', '--json');
  expect([nobody.status, nobody.out, nobody.err]).toEqual([
    2,
    '',
    expect.stringMatching(/^there is no upstream 'nobody'/),
  ]);
  await stack.sql('truncate longwatch.budget');
  expect((await runCli(stack, 'budget', 'list')).out).toContain('nobody has spent from a bucket lately');
});
