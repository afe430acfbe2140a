/**
 * Dead letters by what their errors say, chosen by group, and drops that are taken back: on the real PostgreSQL,
 * without a worker, so that nothing takes them further.
 */
import type { Longwatch } from '../../client/longwatch';
import { Stack } from '../support/stack';

let stack: Stack;
let longwatch: Longwatch;
const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);
const dead = () => longwatch.buffer('box').dead;

beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack.close());
beforeEach(async () => {
  await sql('truncate longwatch.buffer cascade');
  await sql('truncate longwatch.buffer_chunk, longwatch.buffer_outbox');
  await sql(`insert into longwatch.buffer (name, options) values ('box', '{"shards": 2}'), ('other', '{"shards": 1}')`);
});

interface Letter {
  shard?: number;
  entry: number;
  error: string;
  value?: unknown;
  key?: string | null;
  state?: string;
  buffer?: string;
}
const bury = async (letters: readonly Letter[]) => {
  for (const { shard = 0, entry, error, value = entry, key = null, state = 'dead', buffer = 'box' } of letters)
    await sql(
      `insert into longwatch.buffer_dead (buffer, shard, entry, value, key, error, errors, attempts, state)
       values ($1, $2, $3, $4, $5, $6, '[]', 1, $7)`,
      [buffer, shard, entry, JSON.stringify(value), key, error, state],
    );
};

test('groups of what is dead, and each group chooses its own letters', async () => {
  await bury([
    { entry: 1, error: 'no order 17 (of 3.5)' },
    { entry: 2, error: 'no order 4 (of 22)', shard: 1 },
    { entry: 3, error: 'no order 4 (of 22) left' },
    { entry: 4, error: 'gone: 6f9619ff-8b86-d011-b42d-00c04fc964ff\n at 0x1F' },
    { entry: 5, error: 'no order 17 (of 3.5)', state: 'dropped' },
    { entry: 6, error: 'no order 9 (of 9)', buffer: 'other' },
  ]);
  const { groups, looked, complete } = await dead().byError();
  expect(groups.map(({ text, letters }) => [text, letters])).toEqual([
    ['no order # (of #)', 2],
    ['gone: <uuid> at <hex>', 1],
    ['no order # (of #) left', 1],
  ]);
  expect({ looked, complete }).toEqual({ looked: 4, complete: true });
  for (const { text, letters, example } of groups) {
    expect(await dead().count({ group: text })).toBe(letters);
    expect((await dead().list({ group: text })).map(({ id }) => id)).toContain(example.id);
    expect(await dead().drop({ group: text })).toEqual({ chosen: letters, applied: false, op: null });
  }
});

test('none, and more than are looked at', async () => {
  expect(await dead().byError()).toEqual({ groups: [], looked: 0, complete: true });
  await sql(
    `insert into longwatch.buffer_dead (buffer, shard, entry, value, error, errors, attempts)
     select 'box', 0, i, '1', 'no ' || i, '[]', 1 from generate_series(1, 10001) i`,
  );
  const report = await dead().byError();
  expect(report).toMatchObject({ groups: [{ text: 'no #', letters: 10_000 }], looked: 10_000, complete: false });
});

test('a drop is taken back once, whoever asks at the same time: the letters are in the outbox, in order and by shard', async () => {
  const letters = Array.from({ length: 230 }, (_, entry) => ({
    ...{ entry, shard: entry % 2, error: 'no', state: 'dropped', value: { n: entry } },
    key: entry % 3 === 0 ? `k${entry}` : null,
  }));
  await bury([...letters, { entry: 999, error: 'no' }]);
  expect(await dead().restore({})).toEqual({ chosen: 230, applied: false, op: null });
  const [one, other] = await Promise.all([dead().restore({}, { apply: true }), dead().restore({}, { apply: true })]);
  expect(one.chosen + other.chosen).toBe(230);
  const notes = await sql(
    `select o.shard, o.sender, o.seq::int as seq, o.count, c.entries, c.keys
     from longwatch.buffer_outbox o join longwatch.buffer_chunk c using (buffer, id) order by o.shard, o.sender, o.seq`,
  );
  const came = notes.flatMap(({ shard, entries, keys }) =>
    (JSON.parse(entries as string) as { n: number }[]).map(({ n }, i) => [
      shard,
      n,
      (keys as string[] | null)?.[i] ?? null,
    ]),
  );
  expect(came).toHaveLength(230);
  expect(new Set(came.map(([, n]) => n)).size).toBe(230);
  for (const [shard, n, key] of came as [number, number, string | null][]) {
    expect(shard).toBe(n % 2);
    expect(key).toBe(n % 3 === 0 ? `k${n}` : null);
  }
  // A shard takes the messages of a sender by their numbers.
  const bySender = new Map<string, number[]>();
  for (const { shard, sender, seq } of notes) {
    const name = `${String(shard)} ${String(sender)}`;
    bySender.set(name, [...(bySender.get(name) ?? []), seq as number]);
  }
  for (const numbers of bySender.values()) expect(numbers).toEqual(numbers.map((_, i) => i + 1));
  expect(await dead().restore({}, { apply: true })).toMatchObject({ chosen: 0 });
  expect(await dead().count()).toBe(1);
  const audit = await longwatch.audit({ subject: 'buffer/box' });
  expect(audit.map(({ what, outcome }) => [what, outcome])).toContainEqual(['dead restore', 'done']);
});

test('large letters lie in rows of their own', async () => {
  const value = 'x'.repeat(400_000);
  await bury(Array.from({ length: 3 }, (_, entry) => ({ entry, error: 'no', state: 'dropped', value })));
  await dead().restore({ ids: ['0-0', '0-1', '0-2'] }, { apply: true });
  expect(await sql(`select count from longwatch.buffer_outbox`)).toEqual([{ count: 1 }, { count: 1 }, { count: 1 }]);
});
