/**
 * Nodes, seen and steered, on the real PostgreSQL: the report with its verdicts, and the wishes that `longwatch node …`
 * writes. The rows of the nodes are written as nodes do it (`test/support/node-rows.ts`).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Longwatch } from '../../client/longwatch';
import { fairShares } from '../../activities/tracker/placement/shares';
import { flagsTo, runCli } from '../support/cli';
import { keep, writeNode, writeTracker } from '../support/node-rows';
import { eventually, Stack } from '../support/stack';

const BIN = path.join(__dirname, 'bin.ts');

let stack: Stack;
let longwatch: Longwatch;
const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);

beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());
beforeEach(async () => {
  await sql('truncate longwatch.tracker cascade');
  await sql('truncate longwatch.node, longwatch.audit');
});

const nodeOf = async (name: string) => (await longwatch.nodes()).nodes.find((node) => node.name === name)!;
const verdict = async (name: string) => (await nodeOf(name)).verdict;
const wishes = async (name: string) =>
  (
    await sql(`select drained_at, drained_until, drained_for, target, weight from longwatch.node where name = $1`, [
      name,
    ])
  )[0]!;

describe('the report', () => {
  test('what each keeps is read of the fences, its share is that of placement, and it says how it does', async () => {
    await writeTracker(sql, 'things', 9);
    await keep(sql, { name: 'a' }, 'things', [0, 1, 2, 3, 4, 5]);
    await keep(sql, { name: 'b', version: '0.1.0', labels: ['gpu'], use: { eventLoop: 0.5 } }, 'things', [6, 7, 8]);
    const { nodes, heartbeats, wantedNodes } = await longwatch.nodes();
    expect(nodes).toMatchObject([
      {
        name: 'a',
        alive: true,
        pools: 6,
        members: 540,
        load: 600,
        share: 450,
        target: null,
        weight: 1,
        version: '0.1.0',
      },
      { name: 'b', alive: true, pools: 3, members: 270, load: 300, share: 450, labels: ['gpu'] },
    ]);
    expect(nodes[1]!.use).toMatchObject({ eventLoop: 0.5, minute: { lateMs: 4, fetched: 60 } });
    expect(nodes[1]!.verdict).toMatchObject({ level: 'note', word: 'filling' });
    expect(heartbeats).toEqual([{ tracker: 'things', wantedMs: 5_000, timeoutMs: 5_000, isOverBudget: false }]);
    expect(wantedNodes).toBe(1);
  });

  test('the shares are those of placement over the nodes that live, with the target that was wished for last', async () => {
    await writeTracker(sql, 'things', 10);
    await keep(sql, { name: 'a' }, 'things', [0, 1, 2, 3, 4, 5]);
    await keep(sql, { name: 'b' }, 'things', [6, 7, 8, 9]);
    await keep(sql, { name: 'dead', silentMs: 60_000 }, 'things', []);
    await longwatch.node('b').target(2);
    const { nodes } = await longwatch.nodes();
    const load = (name: string, load: number, places: number) => ({
      ...{ name, load, shifts: load / 100, loads: new Map([['things', load]]), weight: 1, places, loadLimit: Infinity },
      ...{ keeps: new Set(['things']), up: true, stale: false, hot: false, coming: 0, wants: new Map() },
    });
    const [a, b] = fairShares([load('a', 600, Infinity), load('b', 400, 2)]);
    expect(nodes.map(({ name, share }) => [name, share])).toEqual([['a', a], ['b', b], ['dead', null]]); // prettier-ignore
    expect(b).toBe(200);
    expect(nodes[1]!.verdict.word).toBe('over its target');
  });

  test('more heartbeats than a server should carry make the time-out longer, and the table says it', async () => {
    await writeTracker(sql, 'things', 2_000, 1);
    await keep(sql, { name: 'a' }, 'things', []);
    expect((await longwatch.nodes()).heartbeats[0]!.timeoutMs).toBeGreaterThanOrEqual(16_667);
    expect((await runCli(stack, 'nodes')).out).toMatch(/a dead node's pools go to others after 1\d\.\d s$/m);
  });

  test('verdicts by the clock of the database: silent, gone, ended with pools', async () => {
    await writeTracker(sql, 'things', 3);
    await keep(sql, { name: 'a' }, 'things', [0]);
    await keep(sql, { name: 'gone', silentMs: 9_000 }, 'things', [2]);
    await writeNode(sql, { name: 'old', ended: true });
    // Five seconds after it was seen it is gone.
    const silent = await eventually('it is read within a second', async () => {
      const began = performance.now();
      await keep(sql, { name: 'silent', silentMs: 3_500 }, 'things', [1]);
      const read = await nodeOf('silent');
      return performance.now() - began < 1_000 && read;
    });
    expect(silent).toMatchObject({ alive: true, verdict: { level: 'warning', word: 'silent' } });
    expect(await nodeOf('gone')).toMatchObject({ alive: false, verdict: { level: 'bad', word: 'gone' } });
    expect(await verdict('old')).toMatchObject({ level: 'note', word: 'ended' });
    const shown = await runCli(stack, 'nodes');
    expect(shown.out).toMatch(/^bad: gone: nothing was heard of it for \d/m);
    expect(shown.out).not.toMatch(/^old/m);
    expect((await runCli(stack, 'nodes', '--all')).out).toMatch(/^old +ended/m);
    const { nodes } = JSON.parse((await runCli(stack, 'nodes', '--json')).out) as { nodes: { name: string }[] };
    expect(nodes.map(({ name }) => name)).toEqual(['a', 'gone', 'silent']);
  });

  test('one late second is not behind; what placement calls hot is', async () => {
    await writeNode(sql, { name: 'a', use: { lagMs: 900 } });
    await writeNode(sql, { name: 'b', use: { lagMs: 100 }, placement: { hot: true } });
    expect((await verdict('a')).word).toBe('good');
    expect((await verdict('b')).word).toBe('behind');
  });

  test('other release, lacks, cut off, crashed', async () => {
    await writeNode(sql, { name: 'a' });
    await writeNode(sql, { name: 'b' });
    await writeNode(sql, { name: 'newer', version: '0.2.0' });
    await writeNode(sql, { name: 'lacking', use: { lacks: ['things'] } });
    await writeNode(sql, { name: 'cut', use: { temporalRefusedMs: 12_000 } });
    await writeNode(sql, { name: 'crashy', use: { trust: 0.5 } });
    await writeNode(sql, { name: 'failing', use: { failing: { pools: 2, example: 'things/1: lock timeout' } } });
    const words = Object.fromEntries((await longwatch.nodes()).nodes.map((node) => [node.name, node.verdict.word]));
    expect(words).toEqual({
      ...{ a: 'good', b: 'good', newer: 'other release', lacking: 'other config', cut: 'cut off from Temporal' },
      ...{ crashy: 'crashed', failing: 'failing' },
    });
  });

  test('a row of another release, or from psql, is shown with what can be read of it', async () => {
    await sql(`insert into longwatch.node (name, host, pid, placement, use) values ('odd', 'h', 1, '[]', '"x"')`);
    await sql(`insert into longwatch.node (name, host, pid) values ('older', 'h', 2)`);
    expect((await longwatch.nodes()).nodes).toMatchObject([
      { name: 'odd', alive: true, load: null, share: null, use: null },
      { name: 'older', version: null, load: null },
    ]);
    expect((await runCli(stack, 'nodes')).status).toBe(0);
  });

  test('nobody is there', async () => {
    expect(await runCli(stack, 'nodes')).toMatchObject({
      status: 0,
      out: 'no worker is running; start one with: npx longwatch worker\n',
    });
  });
});

describe('wishes', () => {
  beforeEach(async () => {
    await writeTracker(sql, 'things', 2);
    await writeTracker(sql, 'others', 1);
    await writeNode(sql, { name: 'worker-1' });
    await writeNode(sql, { name: 'worker-2' });
  });
  const node = () => longwatch.node('worker-1');

  test('each is written, announced, and listed with what it was and is', async () => {
    const heard: string[] = [];
    const client = await stack.pool.connect();
    client.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await client.query('listen longwatch');
    try {
      expect(await node().target(7, { why: 'small' })).toMatchObject({ changed: true, target: 7 });
      expect(await node().weight(0.5)).toMatchObject({ changed: true, weight: 0.5, target: 7 });
      expect(await node().drain()).toMatchObject({ changed: true, drained: true, drainedUntil: null });
      expect(await node().drain()).toMatchObject({ changed: false });
      expect(await node().resume()).toMatchObject({ changed: true, drained: false });
      expect(await node().target(null)).toMatchObject({ changed: true, target: null });
      await eventually('they hear of it', () => heard.filter((payload) => payload.includes('nodes')).length >= 5);
    } finally {
      client.release(true);
    }
    const rows = (await longwatch.audit({ subject: 'node/worker-1' })).reverse();
    expect(rows.map(({ what, outcome }) => `${what} ${outcome}`)).toEqual([
      'node target done',
      'node weight done',
      'node drain done',
      'node drain unchanged',
      'node resume done',
      'node target done',
    ]);
    expect(rows[0]).toMatchObject({ before: { target: null }, after: { target: 7 }, why: 'small' });
    expect(await wishes('worker-2')).toMatchObject({ drained_at: null, target: null, weight: 1 });
  });

  test('a drain that is over does not come back with the next command', async () => {
    await node().drain({ for: '30m' });
    expect((await nodeOf('worker-1')).drained).toBe(true);
    await sql(`update longwatch.node set drained_until = clock_timestamp() - interval '1 s' where name = 'worker-1'`);
    expect(await nodeOf('worker-1')).toMatchObject({ drained: false, drainedUntil: null, drainedAt: null });
    expect(await node().drain({ tracker: 'things' })).toMatchObject({
      drained: false,
      drainedFor: [{ tracker: 'things', until: null }],
    });
    expect(await nodeOf('worker-1')).toMatchObject({
      drained: false,
      drainedFor: [{ tracker: 'things', until: null }],
    });
    await node().weight(2);
    expect(await nodeOf('worker-1')).toMatchObject({
      drained: false,
      drainedFor: [{ tracker: 'things', until: null }],
      weight: 2,
    });
  });

  test('a drain keeps the time of its beginning, and takes the new end', async () => {
    await node().drain({ for: '1h' });
    const first = await nodeOf('worker-1');
    expect(await node().drain({ for: '2h' })).toMatchObject({ changed: true });
    const second = await nodeOf('worker-1');
    expect(second.drainedAt).toBe(first.drainedAt);
    expect(Date.parse(second.drainedUntil!) - Date.parse(first.drainedUntil!)).toBeGreaterThan(3_500_000);
    expect((await longwatch.nodes()).nodes[0]!.verdict.word).toBe('drained');
  });

  test('each drain ends by itself: as a whole, for one tracker, for another', async () => {
    const part = (tracker: string, until: unknown = null) => ({ tracker, until });
    await node().drain({ tracker: 'things' });
    await node().drain({ for: '1h' });
    await node().drain({ tracker: 'others', for: '2h' });
    const seen = await nodeOf('worker-1');
    expect(seen).toMatchObject({ drained: true, drainedFor: [part('others', expect.any(String)), part('things')] });
    expect(Date.parse(seen.drainedFor[0]!.until!) - Date.parse(seen.drainedUntil!)).toBeGreaterThan(3_500_000);
    // The node looks there: the drain as a whole is over, then the one for the others.
    await sql(`update longwatch.node set drained_until = clock_timestamp() - interval '1 s' where name = 'worker-1'`);
    expect(await nodeOf('worker-1')).toMatchObject({
      drained: false,
      drainedFor: [{ tracker: 'others' }, part('things')],
    });
    await sql(
      `update longwatch.node set drained_for_until[1] = clock_timestamp() - interval '1 s' where name = 'worker-1'`,
    );
    expect(await nodeOf('worker-1')).toMatchObject({ drained: false, drainedFor: [part('things')] });
    expect(await node().weight(2)).toMatchObject({ drained: false, drainedUntil: null, drainedFor: [part('things')] });
    expect(await wishes('worker-1')).toMatchObject({ drained_for: ['things'], drained_until: null });
    await node().drain({ for: '1h' });
    expect(await node().resume({ tracker: 'things' })).toMatchObject({ changed: true, drained: true, drainedFor: [] });
    expect((await nodeOf('worker-1')).drainedUntil).not.toBeNull();
  });

  test('a drain of a tracker takes the new end, and the audit and the command line say which one it was', async () => {
    const run = (...args: string[]) => runCli(stack, 'node', ...args);
    const first = await run('drain', 'worker-1', '--tracker', 'things', '--for', '1h');
    expect(first.out).toMatch(/is now: drained for things until 2.*Z, has its share/);
    await run('drain', 'worker-1', '--tracker', 'others');
    const second = await run('drain', 'worker-1', '--tracker', 'things');
    expect(second.out).toMatch(/is now: drained for others, drained for things, has its share/);
    await run('resume', 'worker-1', '--tracker', 'others');
    const { out } = await runCli(stack, 'audit', '--subject', 'node/worker-1');
    expect(out).toMatch(/node resume .*drained for others: until it is resumed → none /);
    expect(out).toMatch(/drained for things: 2\S+Z → until it is resumed/);
    expect((await runCli(stack, 'nodes')).out).toMatch(/it is drained for things\n/);
  });

  test('a name that cannot be one is unknown', async () => {
    await expect(longwatch.node('\0').drain()).rejects.toThrow('there is no node');
    await expect(longwatch.node('\ud800').report()).rejects.toThrow('there is no node');
  });

  test('two commands at once: neither is lost', async () => {
    await Promise.all([node().target(3), node().weight(4), node().drain({ tracker: 'things' })]);
    expect(await nodeOf('worker-1')).toMatchObject({
      target: 3,
      weight: 4,
      drainedFor: [{ tracker: 'things', until: null }],
    });
  });

  test('--wait ends when it keeps nothing, with the pools that are left on the way', async () => {
    await keep(sql, { name: 'worker-1' }, 'things', [0, 1]);
    await keep(sql, { name: 'worker-2' }, 'things', []);
    const seen: number[] = [];
    await node().drain();
    const waits = node().awaitDrained({ onProgress: ({ left }) => seen.push(left) });
    await eventually('it has been seen with both', () => seen.includes(2));
    await keep(sql, { name: 'worker-2' }, 'things', [1]);
    await eventually('and with one', () => seen.includes(1));
    await keep(sql, { name: 'worker-2' }, 'things', [0, 1]);
    await waits;
    expect(seen.at(-1)).toBe(0);
    await node().awaitDrained({ tracker: 'things' });
  });

  test('--wait says why it does not end, and leaves the drain; it ends when somebody resumes the node', async () => {
    await keep(sql, { name: 'worker-1' }, 'things', [0, 1]);
    await node().drain();
    await longwatch.node('worker-2').drain();
    const cli = await runCli(stack, 'node', 'drain', 'worker-1', '--wait', '--patience', '200ms');
    expect(cli.status).toBe(1);
    expect(cli.err).toMatch(/still keeps 2 pools.*no other node is up; start one; it stays drained/);
    expect((await nodeOf('worker-1')).drained).toBe(true);
    let looked = false;
    const waits = node().awaitDrained({ onProgress: () => (looked = true) });
    await eventually('it waits', () => looked);
    await node().resume();
    await expect(waits).rejects.toThrow(/is not drained \(any more\)/);
  });

  test('who gives up waiting leaves the drain as it is', async () => {
    await keep(sql, { name: 'worker-1' }, 'things', [0]);
    await node().drain();
    const ending = new AbortController();
    const waits = node().awaitDrained({ signal: ending.signal, onProgress: () => ending.abort() });
    await expect(waits).rejects.toThrow(/abort/);
    expect((await nodeOf('worker-1')).drained).toBe(true);
  });

  test('Ctrl-C ends the waiting, says so, and leaves the drain', async () => {
    await keep(sql, { name: 'worker-1' }, 'things', [0]);
    const args = ['node', 'drain', 'worker-1', '--wait', ...flagsTo(stack.servers)];
    const child = spawn(process.execPath, ['--require', require.resolve('tsx/cjs'), BIN, ...args]);
    let err = '';
    child.stderr.on('data', (data: Buffer) => {
      err += data.toString();
      // A second one would end it at once.
      if (/1 pool left\n$/.test(err)) child.kill('SIGINT');
    });
    const [status] = (await once(child, 'exit')) as [number];
    expect(err).toMatch(
      /1 pool left\nnot waited for any longer; 'worker-1' stays drained, until: npx longwatch node resume worker-1\n/,
    );
    expect([status, (await nodeOf('worker-1')).drained]).toEqual([1, true]);
  });

  test.each<[args: string[], message: RegExp]>([
    [['drain', 'worker-3'], /there is no node 'worker-3'; did you mean 'worker-[12]'/],
    [['resume', 'x'], /there is no node 'x'; there are worker-1, worker-2/],
    [['drain', 'worker-1', '--tracker', 'thing'], /there is no tracker 'thing'; did you mean 'things'/],
    [['drain', 'worker-1', '--for', 'soon'], /--for must be a time with its unit, such as 30s, .*, not 'soon'/],
    [['drain', 'worker-1', '--for', '1800'], /--for must be a time with its unit, .*, not '1800'/],
    [['drain', 'worker-1', '--wait', '--patience', '60'], /--patience must be a time with its unit, .*, not '60'/],
    [['drain', 'worker-1', '--for', '400d'], /a second at least and 30 days at most/],
    [['drain', 'worker-1', '--patience', '1s'], /give --wait too/],
    [['target', 'worker-1', '-1'], /unknown option|a number of pools/],
    [['target', 'worker-1', '1.5'], /a target is a number of pools, or share, not '1.5'/],
    [['weight', 'worker-1', '0'], /a weight is a number from 0.001 to 1,000/],
    [['weight', 'worker-1', 'NaN'], /a weight is a number, such as 1 or 0.5, not 'NaN'/],
    [['weight', 'worker-1'], /missing required argument 'weight'/],
    [['drian', 'worker-1'], /unknown command 'drian'/],
  ])('node %j ends with 2 and changes nothing', async (args, message) => {
    const before = await wishes('worker-1');
    const { status, err, out } = await runCli(stack, 'node', ...args);
    expect(err).toMatch(message);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(await wishes('worker-1')).toEqual(before);
    expect(await longwatch.audit()).toEqual([]);
  });

  test('what the verbs say', async () => {
    const say = async (...args: string[]) => (await runCli(stack, 'node', ...args)).out;
    expect(await say('drain', 'worker-1')).toBe("'worker-1' is now: drained, weight 1\n");
    expect(await say('drain', 'worker-1')).toBe("'worker-1' was already: drained, weight 1\n");
    expect(await say('resume', 'worker-1')).toBe("'worker-1' is now: has its share, weight 1\n");
    expect(await say('target', 'worker-1', '40')).toBe("'worker-1' is now: keeps 40 pools at most, weight 1\n");
    expect(await say('weight', 'worker-1', '0.5')).toBe("'worker-1' is now: keeps 40 pools at most, weight 0.5\n");
    expect(await say('target', 'worker-1', 'share')).toBe("'worker-1' is now: has its share, weight 0.5\n");
    expect(JSON.parse(await say('weight', 'worker-1', '1', '--json'))).toMatchObject({ node: 'worker-1', weight: 1 });
    await writeNode(sql, { name: 'worker-2', ended: true });
    expect(await say('drain', 'worker-2', '--tracker', 'things')).toMatch(
      /^'worker-2' is now: drained for things, .*its process has ended: the next one of this name finds it so\n$/,
    );
  });
});

describe('the doctor, from the same rows', () => {
  const found = async (check: string) =>
    (await longwatch.doctor()).findings
      .filter((each) => each.check === check)
      .map(({ severity, what }) => `${severity}: ${what}`);

  test('a pool that a node gives away is not worth a word, one of a dead node is', async () => {
    await writeTracker(sql, 'things', 3);
    await keep(sql, { name: 'a' }, 'things', [0, 1, 2]);
    await sql(`update longwatch.pool set released_at = clock_timestamp() - interval '1 s' where pool = 0`);
    expect(await found('pools-unkept')).toEqual([]);
    await sql(`update longwatch.pool set released_at = clock_timestamp() - interval '20 s' where pool = 0`);
    expect(await found('pools-unkept')).toEqual([
      expect.stringMatching(/^notice: 1 pool of things is kept by no node, one of them for [2-5]\d(\.\d)? s; nodes/),
    ]);
    await writeNode(sql, { name: 'a', silentMs: 90_000 });
    expect(await found('pools-unkept')).toEqual([
      expect.stringMatching(/^problem: 3 pools of things are kept by no node, one of them for 2 min$/),
    ]);
    await sql(`update longwatch.tracker set state = 'paused'`);
    expect(await found('pools-unkept')).toEqual([]);
    await writeTracker(sql, 'new', 1);
    expect(await found('pools-unkept')).toEqual([expect.stringMatching(/^notice: 1 pool of new is kept by no node/)]);
    await sql(
      `update longwatch.pool set unbegun_since = now() - interval '61 s', unbegun_on = 'q' where tracker = 'new'`,
    );
    expect(await found('pools-unkept')).toEqual([
      'problem: 1 pool of new is kept by no node, one of them for 1 min; no node has begun what waits on q',
    ]);
  });

  test('pools and status say where a shift waits that no node begins, while the tracker is not stopped', async () => {
    await writeTracker(sql, 'things', 2);
    await keep(sql, { name: 'a' }, 'things', [0]);
    await sql(`update longwatch.pool set unbegun_since = now() - interval '120 s', unbegun_on = 'q' where pool = 1`);
    const things = longwatch.tracker('things');
    expect(await things.pools()).toMatchObject([{ unbegunSince: null }, { unbegunOn: 'q' }]);
    expect(await things.status()).toMatchObject({ unbegun: 1 });
    expect((await runCli(stack, 'pools', 'things')).out).toMatch(/no node begins it for 2 ?m\w* now \(task queue q\)/);
    expect((await runCli(stack, 'status', 'things')).out).toContain('1 that NO NODE BEGINS');
    await sql(`update longwatch.tracker set state = 'stopped'`);
    expect(await things.status()).toMatchObject({ unbegun: 0 });
    expect(await things.pools()).toMatchObject([{}, { unbegunSince: null }]);
  });

  test('verdicts, releases, and a tracker that no node has', async () => {
    await writeTracker(sql, 'things', 1);
    await writeNode(sql, { name: 'a', use: { lacks: ['things'], storeRefusedMs: 9_000 } });
    await writeNode(sql, { name: 'b', version: '0.2.0', use: { lacks: ['things'] } });
    expect(await found('node-verdict')).toEqual([
      'problem: node a: it has written nothing for 9.0 s; it takes no pools until it can',
      expect.stringMatching(/^notice: node b: its config does not have things/),
    ]);
    await writeNode(sql, { name: 'failing', use: { failing: { pools: 1, example: 'things/0: lock timeout' } } });
    expect(await found('node-verdict')).toContain(
      'problem: node failing: 1 pool came to it in the last minute and could not be begun, the last one things/0: lock timeout',
    );
    await sql(`delete from longwatch.node where name = 'failing'`);
    expect(await found('two-releases')).toEqual([
      'notice: nodes of 2 releases work side by side: 1 node of 0.1.0, 1 node of 0.2.0',
    ]);
    expect(await found('tracker-undefined')).toEqual([
      'problem: no node that lives has tracker things in its config, so nobody keeps it',
    ]);
    await writeNode(sql, { name: 'b', version: '0.2.0' });
    expect(await found('tracker-undefined')).toEqual([]);
  });

  test('a drain without an end, once it is an hour old; for a tracker, as the audit knows', async () => {
    await writeTracker(sql, 'things', 1);
    await writeNode(sql, { name: 'a' });
    await writeNode(sql, { name: 'b' });
    await longwatch.node('a').drain();
    await longwatch.node('b').drain({ tracker: 'things' });
    expect(await found('drain-forgotten')).toEqual([]);
    await sql(`update longwatch.node set drained_at = drained_at - interval '2 hours' where name = 'a'`);
    await sql(`update longwatch.audit set at = at - interval '3 hours'`);
    expect(await found('drain-forgotten')).toEqual([
      'notice: node a is drained, since 2 h, and nothing says until when',
      'notice: node b is drained for things, since 3 h, and nothing says until when',
    ]);
    await longwatch.node('a').drain({ for: '1h' });
    await longwatch.node('b').resume();
    expect(await found('drain-forgotten')).toEqual([]);
  });

  test('the drains of a node for trackers have each an end and a beginning of their own', async () => {
    for (const name of ['things', 'faces', 'doors']) await writeTracker(sql, name, 1);
    await writeNode(sql, { name: 'a' });
    const node = longwatch.node('a');
    await node.drain({ tracker: 'things' });
    await sql(`update longwatch.audit set at = at - interval '3 hours'`);
    // One that ends by itself is not forgotten, and does not make the other one younger.
    await node.drain({ tracker: 'faces', for: '1h' });
    await node.drain({ for: '1h' });
    expect(await found('drain-forgotten')).toEqual([
      'notice: node a is drained for things, since 3 h, and nothing says until when',
    ]);
    await node.drain({ tracker: 'doors' });
    expect(await found('drain-forgotten')).toEqual([
      'notice: node a is drained for doors, things, since 3 h, and nothing says until when',
    ]);
    // Commanded once more, it goes on.
    await node.drain({ tracker: 'things' });
    await node.resume({ tracker: 'doors' });
    expect(await found('drain-forgotten')).toEqual([
      'notice: node a is drained for things, since 3 h, and nothing says until when',
    ]);
    await node.drain({ tracker: 'things', for: '1h' });
    expect(await found('drain-forgotten')).toEqual([]);
    // A row of a release that knows one end for all, and of a person in psql.
    await sql(
      `update longwatch.node set drained_for = '{things,faces}', drained_for_until = '{}', drained_until = null, drained_at = null`,
    );
    await sql(`delete from longwatch.audit`);
    expect(await found('drain-forgotten')).toEqual([
      'notice: node a is drained for faces, things, and nothing says until when',
    ]);
  });

  test('a label whose queue nobody polls, as it is declared or set by hand', async () => {
    await writeTracker(sql, 'things', 1);
    await writeTracker(sql, 'faces', 1);
    await writeNode(sql, { name: 'a' });
    await sql(`update longwatch.tracker set options = options || '{"placement": {"on": "gpu"}}' where name = 'faces'`);
    await sql(`update longwatch.tracker set changes = '{"placement.on": "gpu"}' where name = 'things'`);
    expect(await found('label-unpolled')).toEqual([
      'problem: no node has the label gpu, which faces, things needs, so nobody takes its pools',
    ]);
    await sql(`update longwatch.tracker set state = 'stopped'`);
    expect(await found('label-unpolled')).toEqual([]);
  });
});
