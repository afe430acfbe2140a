/**
 * Each address that only reads, on real servers: its answer has what its schema says, no more and no less. A thing that
 * does not exist is a 404 with the words of the command line.
 */
import { ROUTES } from '../../http/routes/all';
import { hashId } from '../../workflows/lib/hash';
import { slotOf } from '../../workflows/tracker/slots';
import { Desk } from './desk';

let desk: Desk;
beforeAll(async () => {
  desk = await Desk.start();
  const sql = (text: string, values?: unknown[]) => desk.stack.sql(text, values);
  await sql(
    `insert into longwatch.life (tracker, id, slot, version, state) values ('things', 'a/b', $1, 3, '{"n":1}')`,
    [SLOT],
  );
  await sql(
    `insert into longwatch.timer (tracker, id, name, slot, set, at, json) values ('things', 'a/b', 'close', $1, 1, now(), '[1]')`,
    [SLOT],
  );
  await sql(
    `insert into longwatch.mail (place, id, tracker, member, slot, sender, json, bytes, told_at, trace)
     values (0, 1, 'things', 'a/b', $1, 's', '"x"', 3, now(), '{"requestId":"r"}')`,
    [SLOT],
  );
  await sql(
    `insert into longwatch.member_dead (id, tracker, member, sender, json, attempts, error) overriding system value
     values (4711, 'things', 'a/b', 's', 'null', 8, 'no')`,
  );
});
afterAll(() => desk?.close());

/** The slot in which the mail of that member lies. */
const SLOT = slotOf(hashId('a/b'));
const NAMES: Record<string, string> = {
  tracker: 'things',
  buffer: 'mail',
  job: 'energy',
  id: encodeURIComponent('a/b'),
  name: 'mail',
  kind: 'operation',
  thing: encodeURIComponent('things/look'),
  activity: 'pay',
};
const there = ROUTES.filter(
  ({ method, path }) => method === 'get' && [...path.matchAll(/\{(\w+)\}/g)].every(([, name]) => NAMES[name!]),
);
const filled = (path: string): string => path.replace(/\{(\w+)\}/g, (_, name: string) => NAMES[name]!);

test.each(there.map((route) => [route.path, route] as const))('GET %s', async (path, route) => {
  const { status, body } = await desk.ask(filled(path));
  expect({ status, body }).toEqual({ status: 200, body: route.answer.parse(body) });
});

test('a value that its definition hides is shown on no page', async () => {
  const { body } = await desk.ask('/trackers/things/members/c');
  const { values } = body as { values: { operation: string; value: unknown; hidden: boolean; fetchedAt: string }[] };
  expect(values.find(({ operation }) => operation === 'token')).toMatchObject({
    value: null,
    hidden: true,
    fetchedAt: expect.any(String) as string,
  });
  expect(values.find(({ operation }) => operation === 'look')).toMatchObject({ value: { id: 'c' }, hidden: false });
  const stored = await desk.stack.sql(`select 1 from longwatch.value where value = '"a secret token"'`);
  expect(stored.length).toBeGreaterThan(0);
  for (const { path } of there)
    expect(JSON.stringify((await desk.ask(filled(path))).body)).not.toContain('secret token');
});

test('histories by their names, whatever is in them, and only the figures that are wanted', async () => {
  const ODD = `x/'a", b' [%]`;
  await desk.stack.sql(
    `insert into longwatch.series (step, kind, name, at, seconds, counts, look_sums, look_numbers, mosts, late)
     select 'minute', 'operation', name, date_trunc('minute', now()) - interval '5 minutes', 60, '{120,3,1}', '{}', '{}', '{}', '{}'
     from unnest($1::text[]) name`,
    [['x/one', 'x/two', ODD]],
  );
  const asked = async (query: Record<string, string>) =>
    desk.ask(`/history/operation?${new URLSearchParams(query).toString()}`);
  const { status, body } = await asked({ names: JSON.stringify([ODD, 'x/two', 'x/nothing']), figures: 'fetched,none', step: '1m' }); // prettier-ignore
  const { items } = body as { items: { name: string; figures: Record<string, (number | null)[]> }[] };
  expect({ status, names: items.map(({ name }) => name).sort() }).toEqual({
    status: 200,
    names: [ODD, 'x/two'].sort(),
  });
  for (const { figures } of items) {
    expect(Object.keys(figures)).toEqual(['fetched']);
    expect(figures.fetched!.filter((value) => value !== null)).toEqual([120]);
  }
  for (const names of ['x/one', '{}', '[]', '[1]', '["a\\u0000"]', JSON.stringify(Array(501).fill('x'))])
    expect((await asked({ names })).body).toMatchObject({ error: { code: 'InvalidRequest' } });
  expect((await asked({ names: '["' + 'x'.repeat(10_000) + '"]' })).status).toBe(400);
});

test('a cursor is one of its own list: of another one, or of another thing, it would pass over items', async () => {
  type Listed = { items: { id: string }[]; next: string | null };
  const members = (query: string) => desk.ask(`/trackers/things/members?${query}`);
  const ids: string[] = [];
  for (let next: string | null = ''; next !== null;) {
    const { status, body } = await members(`limit=1${next && `&after=${encodeURIComponent(next)}`}`);
    expect(status).toBe(200);
    ids.push(...(body as Listed).items.map(({ id }) => id));
    ({ next } = body as Listed);
  }
  expect(ids).toEqual(['a/b', 'c', '{d}']);
  const of = encodeURIComponent(((await members('limit=1')).body as Listed).next!);
  const lists = there.filter(({ query, id }) => query?.shape.after !== undefined && id !== 'listMembers');
  expect(lists.length).toBeGreaterThan(8);
  for (const path of [
    ...lists.map((route) => filled(route.path)),
    '/trackers/other/members',
    '/trackers/things/pools/0/members',
  ])
    expect([path, (await desk.ask(`${path}?after=${of}`)).body]).toEqual([
      path,
      { error: { code: 'InvalidCursor', message: expect.stringContaining('is not a cursor of this list') as string } },
    ]);
  expect((await members('limit=2')).body).toMatchObject({ next: expect.any(String) as string });
  // The same list, in another way of writing its name.
  expect((await desk.ask(`/trackers/%74hings/members?after=${of}`)).status).toBe(200);
  for (const after of ['c', of.slice(0, 6)]) expect((await members(`after=${after}`)).status).toBe(400);
});

test.each(['%20', '%09', '0x0', '1e0', '-0', '+0', '0.0', '99999999'])('%s is not a number of a pool', async (pool) => {
  for (const path of ['members', 'crash'])
    expect(
      await desk.ask(`/trackers/things/pools/${pool}/${path}`, { method: path === 'crash' ? 'POST' : 'GET' }),
    ).toMatchObject({ status: 400, body: { error: { message: expect.stringMatching(/^pool: /) as string } } });
});

test('the state of a member, what waits for it, and its dead letters', async () => {
  const life = await desk.ask('/trackers/things/members/a%2Fb/life');
  expect(life.body).toMatchObject({
    state: { n: 1 },
    messages: [{ message: 'x', strikes: 0, trace: { requestId: 'r' } }],
    timers: [{ name: 'close', strikes: 0, message: [1] }],
    dead: 1,
  });
  const listed = await desk.ask('/trackers/things/lives');
  expect(listed.body).toMatchObject({ items: [{ id: 'a/b', mail: { entries: 1 }, timers: 1 }], next: null });
  const dead = { id: '4711', member: 'a/b', value: null, error: 'no' };
  expect((await desk.ask('/trackers/things/dead?member=a%2Fb')).body).toMatchObject({ items: [dead] });
  const { status, body } = await desk.ask('/trackers/things/dead/4711');
  expect([status, body]).toEqual([200, expect.objectContaining(dead)]);
  expect((await desk.ask('/trackers/things/dead/count?error=other')).body).toEqual({ count: 0 });
});

test('a node, as it is called there', async () => {
  const { nodes } = (await desk.ask('/nodes')).body as { nodes: { name: string }[] };
  const name = nodes[0]!.name;
  expect(await desk.ask(`/nodes/${encodeURIComponent(name)}`)).toMatchObject({ status: 200, body: { name } });
});

test.each([
  ['/trackers/thing', 'UnknownTracker', "there is no tracker 'thing'; did you mean 'things'?"],
  ['/trackers/things/members/nobody', 'NotTracked', "'nobody' is not tracked by 'things'; add it with"],
  ['/trackers/things/members/nobody/life', 'NotTracked', "'nobody' is not tracked by 'things'; add it with"],
  ['/trackers/thing/dead', 'UnknownTracker', "there is no tracker 'thing'; did you mean 'things'?"],
  ['/trackers/things/dead/42', 'UnknownLetter', "tracker 'things' has no dead letter 42"],
  ['/buffers/male', 'UnknownBuffer', "there is no buffer 'male'"],
  ['/jobs/energie', 'UnknownJob', "there is no job 'energie'"],
  ['/nodes/nobody', 'UnknownNode', "there is no node 'nobody'"],
  ['/buckets/esi%2Ferrors:x', 'UnknownBucket', "nobody has spent from 'esi/errors:x'"],
  ['/upstreams/esi/config', 'UnknownUpstream', "there is no upstream 'esi'"],
  ['/activities/pay/keys/42', 'UnknownKey', "pay has no key '42'"],
  ['/buffers/mail/dead/0-1', 'UnknownLetter', "buffer 'mail' has no dead letter 0-1"],
  ['/nothing', 'NotFound', 'there is nothing at this address'],
])('%s is not there', async (path, code, message) => {
  const { status, body } = await desk.ask(path);
  expect({ status, body }).toEqual({
    status: 404,
    body: { error: { code, message: expect.stringContaining(message) as string } },
  });
});
