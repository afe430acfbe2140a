/** Jobs over partitioned tables: by hash of the id, and by time. To a job they are tables like any other. */
import { defineDecay, defineRegen, defineSweep, resolveConfig } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { Stack } from '../support/stack';

const PLAYERS = 20_000;
const NEVER = '1d';

const regen = defineRegen({
  name: 'stamina',
  every: NEVER,
  table: 'player',
  rule: { column: 'stamina', add: 1, max: 'max_stamina' },
  chunk: 1_000,
  concurrency: 4,
});
const sweep = defineSweep<{ [column: string]: unknown; id: string; region: number }>({
  name: 'fights',
  every: NEVER,
  table: 'fight',
  due: 'turn_at < now()',
  order: 'turn_at',
  handle: async (rows, { tx }) => {
    await tx.query(
      'update fight set turn_at = null, ends = ends + 1 where (region, id) in (select * from unnest($1::int[], $2::bigint[]))',
      [rows.map(({ region }) => region), rows.map(({ id }) => id)],
    );
  },
});
const decay = defineDecay({ name: 'items', every: NEVER, table: 'item', where: `dropped_at < '2026-02-15'` });
const CONFIG = { regens: [regen], sweeps: [sweep], decays: [decay] };

const SCHEMA = `
  create table player (id bigint primary key, stamina integer not null, max_stamina integer not null) partition by hash (id);
  create table player_0 partition of player for values with (modulus 3, remainder 0) with (fillfactor = 50);
  create table player_1 partition of player for values with (modulus 3, remainder 1) with (fillfactor = 50);
  create table player_2 partition of player for values with (modulus 3, remainder 2) with (fillfactor = 50);
  insert into player select n, n % 10, 9 from generate_series(1, ${PLAYERS}) n;

  create table fight (region integer, id bigint, turn_at timestamptz, ends integer not null default 0, primary key (region, id))
    partition by list (region);
  create table fight_north partition of fight for values in (1, 2);
  create table fight_south partition of fight default;
  insert into fight select n % 5, n, now() - interval '1 hour' from generate_series(1, 1000) n;

  create table item (id bigint, dropped_at timestamptz, primary key (id, dropped_at)) partition by range (dropped_at);
  create table item_january partition of item for values from ('2026-01-01') to ('2026-02-01');
  create table item_february partition of item for values from ('2026-02-01') to ('2026-03-01');
  insert into item select n, timestamptz '2026-01-01' + n * interval '1 hour' from generate_series(0, 1400) n;
`;

let stack: Stack;
let longwatch: Longwatch;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql(SCHEMA);
  await stack.worker(CONFIG);
  longwatch = await stack.connect();
  for (const { name, options } of resolveConfig(CONFIG).jobs) await longwatch.job(name).start(options);
});
afterAll(() => stack?.close());

test('a regen advances each row of all partitions once, in chunks over all of them', async () => {
  const tick = await longwatch.job('stamina').run();
  expect(tick).toMatchObject({ rows: PLAYERS * 0.9, failed: 0 });
  expect(tick.chunks).toBeGreaterThanOrEqual(PLAYERS / 1_000);
  const [row] = await stack.sql<{ wrong: number }>(
    'select count(*)::int as wrong from player where stamina <> least(id % 10 + 1, 9)',
  );
  expect(row!.wrong).toBe(0);
  expect(await longwatch.job('stamina').run()).toMatchObject({ rows: PLAYERS * 0.8 });
});

test('a sweep handles each due row once, by a key of two columns', async () => {
  expect(await longwatch.job('fights').run()).toMatchObject({ rows: 1_000, failed: 0 });
  const rows = await stack.sql(
    'select ends, count(*)::int as fights, count(turn_at)::int as due from fight group by ends',
  );
  expect(rows).toEqual([{ ends: 1, fights: 1_000, due: 0 }]);
});

test('a decay deletes what is old in every partition, and nothing else', async () => {
  const [before] = await stack.sql<{ n: number }>(
    `select count(*)::int as n from item where dropped_at < '2026-02-15'`,
  );
  expect(await longwatch.job('items').run()).toMatchObject({ rows: before!.n });
  expect(
    await stack.sql('select tableoid::regclass::text as part, min(dropped_at) >= $1 as young from item group by 1', [
      '2026-02-15',
    ]),
  ).toEqual([{ part: 'item_february', young: true }]);
});
