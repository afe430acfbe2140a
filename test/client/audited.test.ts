/**
 * The audit: every verb that changes how Longwatch works leaves one row, by the library and by the command line. A verb
 * or a method that is new must be put into a list here, or this file fails.
 */
import type { Command } from 'commander';
import { program } from '../../cli/main';
import { BudgetHandle } from '../../client/budget';
import { BufferHandle } from '../../client/buffer/handle';
import { NodeHandle } from '../../client/cluster/node';
import { DeadLetters } from '../../client/buffer/dead';
import { DurableHandle } from '../../client/durable/handle';
import { MemberDeadLetters } from '../../client/member/dead';
import { MemberHandle } from '../../client/member/handle';
import { JobHandle } from '../../client/job/handle';
import { Longwatch } from '../../client/longwatch';
import { UpstreamHandle } from '../../client/upstreams';
import { TrackerHandle } from '../../client/tracker/handle';
import { TrackerReads } from '../../client/tracker/reads';
import { Unit } from '../../client/unit';
import { defineUpstream } from '../../exports/upstream';
import { ALL_BUT_DATES } from '../support/other-clock';
import { writeBuckets } from '../support/buckets';
import { Client } from 'pg';
import { connect, defineBuffer, defineConfig, defineSweep, defineTracker } from '../../exports';
import { resolveConfig } from '../../config/resolve/config';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';

/** Verbs that only look, those of data (which is counted, not listed), and those that run processes. */
const LOOK = [
  'list',
  'status',
  'doctor',
  'pools',
  'show',
  'audit',
  'nodes',
  'count',
  'where',
  'alive',
  'members',
  'errors',
  'history',
  'hold list',
  'budget list',
  'budget show',
  'dead list',
  'dead show',
  'member list',
  'member show',
  'leases',
  'keys show',
  'keys list',
  'saga list',
  ...['regen', 'sweep', 'decay'].flatMap((kind) =>
    ['status', 'history', 'explain', 'failed'].map((verb) => `${kind} ${verb}`),
  ),
];
const DATA = ['add', 'remove', 'push', 'send', 'request'];
const PROCESSES = ['dev', 'worker', 'migrate', 'dashboard', 'token new'];

/** Each verb of an operator: its arguments, and the row that it leaves. */
const VERBS: Record<string, { args: string[]; what?: string; subject: string; after?: unknown; status?: number }> = {
  pause: { args: ['things'], subject: 'tracker/things', after: { state: 'paused' } },
  resume: { args: ['box'], subject: 'buffer/box', after: { state: 'running' } },
  stop: { args: ['things'], subject: 'tracker/things', after: { state: 'stopped' } },
  start: { args: ['things', '--config', 'CONFIG'], subject: 'tracker/things', after: { state: 'running' } },
  config: {
    args: ['things', '--set', 'operations.look.every=3s'],
    what: 'set',
    subject: 'tracker/things',
    after: { 'operations.look.every': '3s' },
  },
  crash: { args: ['things', '--pool', '0'], subject: 'tracker/things', after: { pool: 0 } },
  'hold open': { args: ['things', 'look'], subject: 'tracker/things' },
  'budget close': { args: ['esi/errors', '--for', '5m'], subject: 'upstream/esi' },
  'budget open': { args: ['esi/errors'], subject: 'upstream/esi' },
  'budget set': {
    args: ['esi', 'limits.errors.tokens=50'],
    what: 'set',
    subject: 'upstream/esi',
    after: { 'limits.errors.tokens': 50 },
  },
  flush: { args: ['box'], subject: 'buffer/box', after: { shards: 1 } },
  refetch: { args: ['things', 'a'], subject: 'tracker/things', after: { operation: null, members: 1, all: false } },
  reconcile: {
    args: ['things', '--file', 'IDS', '--apply'],
    subject: 'tracker/things',
    after: { added: 2, removed: 1 },
  },
  'dead retry': { args: ['box', '--all', '--apply'], subject: 'buffer/box' },
  'dead drop': { args: ['box', '--all', '--apply'], subject: 'buffer/box' },
  'dead restore': { args: ['box', '--all', '--apply'], subject: 'buffer/box' },
  'member reload': { args: ['things', 'a'], subject: 'tracker/things', after: { member: 'a' } },
  'regen run': { args: ['sweeping'], what: '', subject: '', status: 2 },
  'decay run': { args: ['sweeping'], what: '', subject: '', status: 2 },
  'sweep run': { args: ['sweeping'], what: 'run', subject: 'job/sweeping' },
  'sweep retry': { args: ['sweeping'], what: 'retry', subject: 'job/sweeping', after: { rows: 1, all: true } },
  'node drain': { args: ['fixed'], subject: 'node/fixed' },
  'node resume': { args: ['fixed'], subject: 'node/fixed' },
  'node target': { args: ['fixed', '5'], subject: 'node/fixed' },
  'node weight': { args: ['fixed', '2'], subject: 'node/fixed' },
  // Neither has anything to move here: their rows are in rebalance.test.ts.
  rebalance: { args: [], what: '', subject: '' },
  move: { args: ['things', '0', '--to', 'nobody'], what: '', subject: '', status: 2 },
  'keys delete': { args: ['pay', 'order 17'], subject: 'key/pay/order 17' },
  'saga retry': { args: ['t/1'], subject: 'compensation/t/1' },
  'saga resolve': { args: ['t/2', '--note', 'by hand'], subject: 'compensation/t/2', after: { state: 'resolved' } },
};

/** Methods of the handles that change nothing, or only data. */
const NOT_COMMANDS: Record<string, string[]> = {
  Unit: ['config'],
  TrackerHandle: [
    'options',
    'count',
    'where',
    'alive',
    'add',
    'remove',
    'list',
    'everHadMembers',
    'pools',
    'show',
    'member',
    'lives',
    'holds',
    'status',
  ],
  BufferHandle: ['push', 'status'],
  JobHandle: ['status', 'history', 'historyPage', 'failedRows', 'failedRowsPage', 'explain'],
  DurableHandle: ['leases', 'leasesPage', 'key', 'keysPage', 'brokenCompensations', 'brokenCompensationsPage'],
  TrackerReads: ['poolsPage', 'members', 'failing', 'errors', 'freshness', 'oldest', 'next'],
  DeadLetters: ['list', 'page', 'count', 'show', 'byError'],
  MemberDeadLetters: ['list', 'page', 'count', 'show'],
  MemberHandle: ['send', 'request', 'show'],
  NodeHandle: ['report', 'awaitDrained'],
  UpstreamHandle: ['config'],
  Longwatch: [
    ...[
      'tracker',
      'job',
      'buffer',
      'node',
      'now',
      'upstream',
      'unit',
      'as',
      'kindOf',
      'jobs',
      'trackers',
      'bufferNames',
      'upstreams',
    ],
    ...[
      'status',
      'doctor',
      'count',
      'nodes',
      'previewRebalance',
      'audit',
      'auditPage',
      'holds',
      'workersPoll',
      'replica',
      'close',
    ],
    ...['series', 'allSeries', 'seriesPage', 'marks', 'once'],
  ],
  BudgetHandle: ['list', 'show', 'closedLimits', 'memberCounts', 'ofMember'],
};
const COMMANDS: Record<string, string[]> = {
  Unit: ['start', 'stop', 'pause', 'resume', 'declare', 'set'],
  TrackerHandle: ['start', 'move', 'openHolds', 'refetch', 'reconcile', 'crash'],
  BufferHandle: ['stop', 'flush'],
  JobHandle: ['run', 'retryFailed'],
  DurableHandle: ['deleteKey', 'retryCompensation', 'resolveCompensation'],
  TrackerReads: [],
  DeadLetters: ['retry', 'drop', 'restore'],
  MemberDeadLetters: ['retry', 'drop'],
  MemberHandle: ['reload'],
  NodeHandle: ['drain', 'resume', 'target', 'weight'],
  UpstreamHandle: ['set'],
  Longwatch: ['rebalance'],
  BudgetHandle: ['close', 'open'],
};

function leaves(command: Command, path: string[] = []): { name: string; command: Command }[] {
  return command.commands.flatMap((each) => {
    const here = [...path, each.name()];
    return each.commands.length > 0 ? leaves(each, here) : [{ name: here.join(' '), command: each }];
  });
}

test('every verb is known here, and every verb of an operator takes --why', () => {
  const all = leaves(program());
  const known = [...LOOK, ...DATA, ...PROCESSES, ...Object.keys(VERBS)];
  expect(all.map(({ name }) => name).sort()).toEqual([...known].sort());
  const withWhy = all.filter(({ command }) => command.options.some(({ long }) => long === '--why'));
  expect(withWhy.map(({ name }) => name).sort()).toEqual(Object.keys(VERBS).sort());
});

test('every method of the handles is known here', () => {
  const classes = {
    Unit,
    TrackerReads,
    TrackerHandle,
    BufferHandle,
    JobHandle,
    DurableHandle,
    DeadLetters,
    MemberDeadLetters,
    MemberHandle,
    NodeHandle,
    UpstreamHandle,
    Longwatch,
    BudgetHandle,
  };
  for (const [name, made] of Object.entries(classes)) {
    const prototype = made.prototype as object;
    const methods = Object.entries(Object.getOwnPropertyDescriptors(prototype))
      .filter(([key, { value }]) => typeof value === 'function' && key !== 'constructor')
      .map(([key]) => key)
      .filter((key) => !INNER[name]?.includes(key));
    expect([name, methods.sort()]).toEqual([name, [...NOT_COMMANDS[name]!, ...COMMANDS[name]!].sort()]);
  }
});

/** Methods that TypeScript keeps inside, which nobody outside can call. */
const UNIT_PARTS = ['find', 'startRoot', 'settingsOf', 'changeOf', 'shown', 'throwIfRefused', 'require'];
const INNER: Record<string, string[]> = {
  Unit: [
    ...UNIT_PARTS,
    'listed',
    'current',
    'changeState',
    'changeOptions',
    'difference',
    'unknown',
    'update',
    'startWorkflow',
    'setWhere',
    'requireThat',
    'startAndOpen',
  ],
  TrackerReads: ['operationsOf'],
  TrackerHandle: [...UNIT_PARTS, 'makeAlike', 'found', 'requireOperation', 'announce', 'changeRoster', 'requirePool'],
  BufferHandle: [...UNIT_PARTS, 'askShard', 'runningRow', 'shards', 'startAndOpen', 'awaitKept', 'update'],
  JobHandle: [...UNIT_PARTS, 'stored', 'requireThere'],
  DurableHandle: ['find', 'runAgain'],
  NodeHandle: ['seen', 'kept', 'refuseIfNotDrained', 'wish', 'requireTracker', 'unknown'],
  BudgetHandle: ['changeOne', 'changeWhole', 'eachPage', 'unknown'],
  DeadLetters: ['act', 'carryOut', 'awaitTaken', 'filterValues'],
  MemberDeadLetters: ['act', 'valuesOf'],
  MemberHandle: ['ask', 'limitOf', 'timedOut'],
};

describe('on real servers', () => {
  let stack: Stack;
  let longwatch: Longwatch;
  const config = defineConfig({
    trackers: [defineTracker({ name: 'things', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } })],
    upstreams: [
      defineUpstream({
        name: 'esi',
        origin: 'http://127.0.0.1:9',
        limits: { errors: { key: 'address', tokens: 100, window: '1m' } },
      }),
    ],
    buffers: [
      defineBuffer({
        name: 'box',
        shards: 1,
        flushInterval: '20ms',
        retry: { attempts: 1, base: '1ms', cap: '1ms' },
        run: () => {
          throw new Error('no');
        },
      }),
    ],
    sweeps: [defineSweep({ name: 'sweeping', every: '366d', table: 'combat', due: 'false', handle: () => undefined })],
  });

  beforeAll(async () => {
    stack = await Stack.start();
    await stack.sql('create table combat (id int primary key)');
    await stack.worker(config);
    longwatch = await stack.connect();
    const { trackers, buffers, jobs } = resolveConfig(config);
    await longwatch.tracker('things').start(trackers[0]!.options);
    await longwatch.buffer('box').start(buffers[0]!.options);
    await longwatch.job('sweeping').start(jobs[0]!.options);
    await longwatch.tracker('things').add(['a'], { wait: true });
    await longwatch.buffer('box').push([1, 2]);
    await eventually('dead letters', async () => (await longwatch.buffer('box').dead.count()) === 2);
    await stack.sql(`insert into longwatch.node (name, host, pid) values ('fixed', 'h', 1)`);
    const db = new Client({ connectionString: stack.servers.databaseUrl });
    await db.connect();
    await writeBuckets(db, [{ upstream: 'esi', limit: 'errors', key: 'here', tokens: 100, window: 60, spent: 1 }]);
    await db.end();
    await stack.sql(`insert into longwatch.failed_row (job, key, due, error) values ('sweeping', '{17}', now(), 'no')`);
    await stack.sql(`insert into longwatch.life (tracker, id, slot, version, state) values ('things', 'a', 0, 1, '1')`);
    await stack.sql(
      `insert into longwatch.task (task, activity, kind, workflow_id, run_id, state, saga, target, task_queue, input)
       values ('t/0', 'pay', 'activity', 'w', 'r', 'completed', null, null, null, null),
              ('t/1', 'pay.compensate', 'compensation', 'w', 'r', 'failed', 'w', 't/8', 'longwatch', '{}'),
              ('t/2', 'pay.compensate', 'compensation', 'w', 'r', 'failed', 'w', 't/9', 'longwatch', '{}')`,
    );
    await stack.sql(
      `insert into longwatch.idempotency (activity, key_hash, key, task) values ('pay', sha256('order 17'), 'order 17', 't/0')`,
    );
  });
  afterAll(() => stack?.close());

  const newest = async () => BigInt((await longwatch.audit({ limit: 1 }))[0]?.number ?? 0);
  const after = async (number: bigint) => (await longwatch.audit()).filter((row) => BigInt(row.number) > number);

  async function fileOf(name: string, content: string): Promise<string> {
    const { writeFile } = await import('node:fs/promises');
    const file = `${stack.dir}/${name}`;
    await writeFile(file, content);
    return file;
  }

  const order = Object.entries(VERBS);
  test.each(order)('%s leaves one row', async (verb, { args, what = verb, subject, after: values, status = 0 }) => {
    if (verb === 'dead drop') {
      await eventually('they died again', async () => (await longwatch.buffer('box').dead.count()) === 2);
    }
    const ids = await fileOf('ids', 'b\nc\n');
    const module = await fileOf(
      'config.ts',
      `export default { trackers: [{ name: 'things', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }] };`,
    );
    const given = args.map((each) => ({ IDS: ids, CONFIG: module })[each] ?? each);
    const before = await newest();
    const why = `because of ${verb}`;
    const ended = await runCli(stack, ...verb.split(' '), ...given, '--why', why);
    expect([ended.status, ended.err]).toEqual([status, expect.anything()]);
    const rows = await after(before);
    if (what === '') return expect(rows).toEqual([]);
    expect(rows).toEqual([expect.objectContaining({ via: 'cli', what, subject, why })]);
    expect(['done', 'unchanged']).toContain(rows[0]!.outcome);
    expect(rows[0]!.actor).toMatch(/^.+@.+$/);
    if (values !== undefined) expect(rows[0]!.after).toEqual(values);
  });

  test('a change of options has both values, by the library with its actor', async () => {
    const ana = await connect({ actor: 'ana', environment: environmentOf(stack) });
    try {
      await ana
        .tracker('things')
        .set({ 'operations.look.every': '4s', 'operations.look.concurrency': null }, { why: 'it is slow' });
      expect((await ana.audit({ limit: 1 }))[0]).toMatchObject({
        actor: 'ana',
        via: 'client',
        what: 'set',
        subject: 'tracker/things',
        before: { 'operations.look.every': '3s' },
        after: { 'operations.look.every': '4s' },
        why: 'it is slow',
        outcome: 'done',
      });
    } finally {
      await ana.close();
    }
    process.env.LONGWATCH_ACTOR = 'deploy';
    try {
      await runCli(stack, 'config', 'things', '--set', 'operations.look.every=');
    } finally {
      delete process.env.LONGWATCH_ACTOR;
    }
    expect((await longwatch.audit({ limit: 1 }))[0]).toMatchObject({
      actor: 'deploy',
      via: 'cli',
      before: { 'operations.look.every': '4s' },
      after: { 'operations.look.every': '1s' },
    });
  });

  test('a command that changed nothing says so, and one that is refused too; one to nothing is not listed', async () => {
    const before = await newest();
    await longwatch.tracker('things').resume();
    await longwatch.tracker('things').pause();
    await longwatch.tracker('things').pause();
    await longwatch.tracker('things').resume();
    await longwatch.job('sweeping').stop();
    await expect(longwatch.job('sweeping').pause()).rejects.toThrow('is stopped');
    await expect(longwatch.durable.retryCompensation('t/none')).rejects.toThrow('no broken compensation');
    await expect(longwatch.tracker('nothing').pause()).rejects.toThrow("there is no tracker 'nothing'");
    const rows = (await after(before)).reverse();
    expect(rows.map(({ what, outcome }) => `${what} ${outcome}`)).toEqual([
      'resume done',
      'pause done',
      'pause unchanged',
      'resume done',
      'stop done',
      'pause refused',
      'saga retry refused',
    ]);
    expect(rows.at(-1)!.error).toMatch(/no broken compensation/);
  });

  test('where the row cannot be written, the effect is not there either', async () => {
    await stack.sql(`alter table longwatch.audit add constraint none check (why is distinct from 'refuse me')`);
    const holds = async () =>
      stack.sql(`select lifted_at from longwatch.hold where tracker = 'things' order by operation`);
    const then = await holds();
    await expect(longwatch.tracker('things').openHolds(undefined, { why: 'refuse me' })).rejects.toThrow('none');
    await expect(longwatch.tracker('things').pause({ why: 'refuse me' })).rejects.toThrow('none');
    expect(await holds()).toEqual(then);
    expect((await longwatch.tracker('things').status()).state).toBe('running');
    await stack.sql(`alter table longwatch.audit drop constraint none`);
  });

  test('a secret is not written down, and text that cannot be stored does not stop a command', async () => {
    const why = 'from postgres://u:hush/hu@sh@h/d with password=hush, token: hush and Bearer hushhushhush \0 \ud800';
    await longwatch.tracker('things').pause({ why });
    await longwatch.tracker('things').resume({ why: 'x'.repeat(100_000) });
    const [resumed, paused] = await longwatch.audit({ limit: 2 });
    expect(paused!.why).toMatch(
      /^from postgres:\/\/u:\*\*\*@h\/d with password=\*\*\*, token: \*\*\* and Bearer \*\*\*/,
    );
    expect(JSON.stringify(paused)).not.toContain('hush');
    expect(resumed!.why!.length).toBeLessThanOrEqual(1_000);
  });

  test('the list: by subject, kind, name and time; wrong arguments end with 2', async () => {
    const subjects = async (...args: string[]) => {
      const { out } = await runCli(stack, 'audit', '--limit', '1000', '--json', ...args);
      return [...new Set((JSON.parse(out) as { audit: { subject: string }[] }).audit.map(({ subject }) => subject))];
    };
    expect(await subjects('--subject', 'buffer')).toEqual(['buffer/box']);
    expect(await subjects('--subject', 'things')).toEqual(['tracker/things']);
    expect(await subjects('--subject', 'job/sweeping')).toEqual(['job/sweeping']);
    expect(await subjects('--subject', 'thing')).toEqual([]);
    expect(await longwatch.audit({ subject: '\0' })).toEqual([]);
    expect(await subjects('--since', '1h')).toContain('tracker/things');
    expect(await subjects('--since', '2999-01-01')).toEqual([]);
    // An hour is one of the database's clock; that of who asks may be two hours off.
    jest.useFakeTimers({ now: Date.now() + 2 * 3_600_000, doNotFake: ALL_BUT_DATES });
    try {
      expect(await subjects('--since', '1h')).toContain('tracker/things');
    } finally {
      jest.useRealTimers();
    }
    const { status, out } = await runCli(stack, 'audit', 'list', '--subject', 'things', '--limit', '200');
    expect(status).toBe(0);
    expect(out).toMatch(/^at +who +via +what +to +change +outcome +why/);
    expect(out).toMatch(/set +tracker\/things +operations\.look\.every: 3s → 4s +done +it is slow/);
    for (const args of [['lst'], ['--since', 'soon'], ['--since', '5'], ['--since', '2026'], ['--limit', 'x']]) {
      expect((await runCli(stack, 'audit', ...args)).status).toBe(2);
    }
  });
});

const environmentOf = (stack: Stack) => ({
  temporal: { address: stack.servers.temporalAddress, namespace: stack.servers.namespace },
  databaseUrl: stack.servers.databaseUrl,
});
