/**
 * The nodes' rows on the real PostgreSQL: who may write one, what is read of the others, what is wanted, and what other
 * releases and people leave in them.
 */
import { Client } from 'pg';
import { pino } from 'pino';
import { Database } from '../../../activities/lib/database';
import { attendNode, claimNode, endNode, type NodeRow } from '../../../activities/tracker/store/nodes';
import { purgeNodes } from '../../../activities/tracker/store/node-stats';
import { NODES_CHANGED, NOTIFY_CHANNEL } from '../../../workflows/lib/contract';
import { eventually, Stack } from '../../support/stack';
import { wordOf } from '../cluster-kit';

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
beforeEach(() => stack.sql('delete from longwatch.node'));

const rowOf = (name: string, over: Partial<NodeRow> = {}): NodeRow => ({
  name,
  host: 'here',
  pid: 1,
  metricsUrl: null,
  ...over,
});
const claim = (name: string, over?: Partial<NodeRow>) => database.transaction((db) => claimNode(db, rowOf(name, over)));
const attend = (name: string, incarnation = 1, word = wordOf(name), over?: Partial<NodeRow>) =>
  database.transaction((db) => attendNode(db, rowOf(name, over), incarnation, word));
const set = (columns: string, name = 'me') => stack.sql(`update longwatch.node set ${columns} where name = $1`, [name]);
const wishes = async () => (await attend('me'))!.wishes;
const peers = async () => (await attend('me'))!.peers.map(({ row }) => row.name).sort();

describe('whose a row is', () => {
  test('each process has a greater incarnation, also after the row was forgotten; an earlier one writes nothing', async () => {
    const first = await claim('me', { pid: 1 });
    const second = await claim('me', { pid: 2 });
    expect(second.number).toBeGreaterThan(first.number);
    expect(await attend('me', first.number, wordOf('me'), { pid: 1 })).toBeUndefined();
    expect(await attend('me', second.number, wordOf('me'), { pid: 2 })).toBeDefined();
    expect(await stack.sql('select pid from longwatch.node')).toEqual([{ pid: 2 }]);
    await database.transaction((db) => endNode(db, 'me', first.number));
    expect(await stack.sql('select ended_at from longwatch.node')).toEqual([{ ended_at: null }]);
    await stack.sql('delete from longwatch.node');
    expect((await claim('me')).number).toBeGreaterThan(second.number);
  });

  test('a row that is gone, or older than its process after a fail-over, is written again', async () => {
    const { number } = await claim('me');
    await stack.sql('delete from longwatch.node');
    expect(await attend('me', number)).toBeDefined();
    await set('incarnation = incarnation - 5');
    expect(await attend('me', number)).toBeDefined();
    expect(await stack.sql('select incarnation::float8 as is from longwatch.node')).toEqual([{ is: number }]);
  });

  test('who claims a name finds the last row of the one before it, and what is wanted stays wanted', async () => {
    await claim('me');
    await attend('me', Date.now() * 2, wordOf('me', { load: 70, shifts: 3 }));
    await set('drained_at = now(), target = 4');
    expect((await claim('me')).before).toMatchObject({ load: 70, shifts: 3 });
    expect(await stack.sql('select placement, use, target, drained_at is null as up from longwatch.node')).toEqual([
      { placement: null, use: null, target: 4, up: false },
    ]);
  });

  test('an end without a word soon after the start counts as a crash; a clean end, or a long life, does not', async () => {
    expect((await claim('me')).crashes).toBe(0);
    expect((await claim('me')).crashes).toBe(1);
    const { number } = await claim('me');
    expect(number).toBeGreaterThan(0);
    await database.transaction((db) => endNode(db, 'me', number));
    expect((await claim('me')).crashes).toBe(2);
    await set(`started_at = now() - interval '10 minutes'`);
    expect((await claim('me')).crashes).toBe(0);
  });
});

describe('what is wanted of it', () => {
  test('nothing at first; what was set comes with the next row; a drain ends by the clock of the database', async () => {
    expect(await wishes()).toEqual({ drained: false, drainedFor: [], target: null, weight: 1 });
    await set(`drained_at = now(), drained_until = now() + interval '1 hour', target = 0, weight = 2.5`);
    expect(await wishes()).toEqual({ drained: true, drainedFor: [], target: 0, weight: 2.5 });
    await set(`drained_until = now() - interval '1 second', drained_for = '{eve}'`);
    // Each ends by itself; a row of a release that has one end for all has no times here.
    expect(await wishes()).toMatchObject({ drained: false, drainedFor: ['eve'] });
    await set(`drained_for = '{eve,odd}', drained_for_until = array[null, now() - interval '1 second']`);
    expect(await wishes()).toMatchObject({ drained: false, drainedFor: ['eve'] });
    await set(`drained_for_until = array[now() - interval '1 second', now() + interval '1 hour']`);
    expect(await wishes()).toMatchObject({ drained: false, drainedFor: ['odd'] });
    await set(`drained_at = null, drained_until = null, drained_for = '{eve}', drained_for_until = '{}'`);
    expect(await wishes()).toMatchObject({ drained: false, drainedFor: ['eve'] });
    await set(`drained_at = now()`);
    expect(await wishes()).toMatchObject({ drained: true, drainedFor: ['eve'] });
  });

  test('whoever writes a wish is heard by all nodes; a row that a node writes is not announced', async () => {
    await attend('me');
    const client = new Client({ connectionString: stack.servers.databaseUrl });
    await client.connect();
    const heard: (string | undefined)[] = [];
    client.on('notification', ({ payload }) => heard.push(payload));
    await client.query(`listen ${NOTIFY_CHANNEL}`);
    try {
      await attend('me');
      await set('target = 7');
      await eventually('it is heard', () => heard.length > 0);
      // They come in their order: the attendance was before it.
      expect(heard).toEqual([NODES_CHANGED]);
    } finally {
      await client.end();
    }
  });
});

describe('what is read of the others', () => {
  test('those of the last minute that have not ended', async () => {
    for (const name of ['lives', 'silent', 'gone', 'ended']) await attend(name);
    await set(`seen_at = now() - interval '40 seconds'`, 'silent');
    await set(`seen_at = now() - interval '61 seconds'`, 'gone');
    await database.transaction((db) => endNode(db, 'ended', 1));
    expect(await peers()).toEqual(['lives', 'silent']);
    const { now, peers: rows } = (await attend('me'))!;
    const age = (name: string) => now - rows.find(({ row }) => row.name === name)!.row.at;
    expect(age('silent')).toBeGreaterThanOrEqual(40_000);
    expect(age('lives')).toBeLessThan(30_000);
  });

  test('rows of other releases and of people in psql stop nobody: what is not a row is not seen', async () => {
    for (const name of ['old', 'odd', 'newer', 'false']) await attend(name);
    await set(`placement = placement || '{"name": "newer"}'`, 'false');
    await set('placement = null, use = null', 'old');
    await set(`placement = '[1, "x"]', use = '"full"'`, 'odd');
    await set(
      `placement = placement || '{"load": 50, "shape": {"of": "later"}}', use = '{"eventLoop": "much"}'`,
      'newer',
    );
    const answer = (await attend('me'))!;
    expect(answer.peers).toMatchObject([{ row: { name: 'newer', load: 50 }, eventLoop: undefined }]);
  });

  test('poolless since the first row without a pool, and not while it keeps one', async () => {
    const since = async () =>
      (await stack.sql<{ since: Date | null }>('select poolless_since as since from longwatch.node'))[0]!.since;
    await attend('me');
    const first = await since();
    expect(first).not.toBeNull();
    await attend('me');
    expect(await since()).toEqual(first);
    await attend('me', 1, wordOf('me', { shifts: 1 }));
    expect(await since()).toBeNull();
  });
});

test('a node that ended more than a day ago is forgotten with all that it said and was told', async () => {
  for (const name of ['long', 'just']) {
    await attend(name);
    await set(`drained_at = now(), target = 3, labels = '{gpu}', address = 'here', version = '1'`, name);
  }
  await set(`ended_at = now() - interval '25 hours'`, 'long');
  await set(`ended_at = now() - interval '23 hours'`, 'just');
  await database.transaction(purgeNodes);
  expect(await stack.sql('select name, target from longwatch.node')).toEqual([{ name: 'just', target: 3 }]);
});
