/**
 * A job's time on real servers: calendars, downtime, continue-as-new, workflows that are lost, and the command line.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { calendarOf } from '../../activities/job/calendar';
import { patrol } from '../../activities/patrol';
import { Database } from '../../activities/lib/database';
import { TemporalLink } from '../../activities/lib/temporal';
import { defineConfig } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { eventually, Stack } from '../support/stack';
import { makePlayers, startJob, valuesOf } from './kit';

const adding = (name: string, over: object) => ({
  name,
  every: '100ms',
  table: name,
  set: { stamina: 'stamina + :elapsed' },
  ...over,
});
const TABLES = ['renewing', 'calendar', 'down_once', 'down_each', 'lost', 'reset', 'shown'];
const config = defineConfig({
  regens: [
    adding('renewing', { historyEvents: 20 }),
    adding('calendar', { every: undefined, cron: '* * * * * *', timeZone: 'Asia/Kolkata' }),
    adding('down_once', {}),
    // A busy machine makes up for these too, one after the other.
    adding('down_each', { every: '500ms', missed: 10_000 }),
    adding('lost', {}),
    adding('reset', {}),
    adding('shown', { every: '366d' }),
  ],
  decays: [{ name: 'leaving', every: '366d', table: 'letter', where: 'sent' }],
  sweeps: [
    {
      name: 'sending',
      every: '366d',
      table: 'letter',
      due: 'not sent',
      retry: { attempts: 1 },
      handle: async (letters, { tx }) => {
        if (letters.some(({ wrong }) => wrong)) throw new Error('no such address');
        await tx.query('update letter set sent = true where id = any($1)', [letters.map(({ id }) => id)]);
      },
    },
  ],
});

let stack: Stack;
let longwatch: Longwatch;
let temporal: Client;
let connection: Connection;

beforeAll(async () => {
  stack = await Stack.start({ own: true });
  for (const table of TABLES) await makePlayers(stack, table, 100);
  await stack.sql(
    'create table letter (id int primary key, wrong boolean not null, sent boolean not null default false)',
  );
  await stack.sql('insert into letter select i, i = 7 from generate_series(1, 10) i');
  await stack.worker(config);
  longwatch = await stack.connect();
  connection = await Connection.connect({ address: stack.servers.temporalAddress });
  temporal = new Client({ connection });
});
afterAll(async () => {
  await connection?.close();
  await stack?.close();
});

/** The intervals that the history tells of, once the job is stopped. */
async function stopped(name: string): Promise<{ intervals: number; skipped: number; ticks: number }> {
  const job = longwatch.job(name);
  await job.stop();
  const ticks = await job.history(10_000);
  return {
    intervals: ticks.reduce((sum, tick) => sum + tick.elapsed, 0),
    skipped: ticks.reduce((sum, tick) => sum + tick.skipped, 0),
    ticks: ticks.length,
  };
}

test('a workflow that continues as new all the time loses and doubles nothing', async () => {
  const job = await startJob(longwatch, config, 'renewing');
  await eventually('many ticks', async () => (await job.history(1_000)).length >= 25);
  const { intervals } = await stopped('renewing');
  expect(await valuesOf(stack, 'renewing')).toEqual({ [intervals]: 100 });
  const query = `WorkflowId = 'job/renewing' and ExecutionStatus = 'ContinuedAsNew'`;
  await eventually('it was renewed', async () => (await temporal.workflow.count(query)).count >= 5);
});

test('a cron ticks at its times', async () => {
  const job = await startJob(longwatch, config, 'calendar');
  await eventually('three ticks', async () => (await job.history()).length >= 3);
  const { intervals } = await stopped('calendar');
  for (const tick of await job.history()) expect(Date.parse(tick.due) % 1_000).toBe(0);
  expect(await valuesOf(stack, 'calendar')).toEqual({ [intervals]: 100 });
});

test('the due times of a calendar: time zones, the hour that is skipped and the one that comes twice, a long downtime', async () => {
  const at = async (cron: string, after: string, now: string) =>
    (await calendarOf({ cron, timeZone: 'Europe/Berlin' }, Date.parse(after), Date.parse(now), 2_000)).times.map((time) => new Date(time).toISOString());
  expect((await at('0 4 * * *', '2026-01-01T00:00:00Z', '2026-01-02T12:00:00Z')).slice(0, 3)).toEqual([
    '2026-01-01T03:00:00.000Z',
    '2026-01-02T03:00:00.000Z',
    '2026-01-03T03:00:00.000Z',
  ]);
  // 2:30 does not exist on 29 March, and 4:00 is two hours from UTC from then on.
  expect((await at('30 2 * * *', '2026-03-28T12:00:00Z', '2026-03-30T12:00:00Z')).length).toBeGreaterThan(30);
  expect((await at('0 4 * * *', '2026-03-28T12:00:00Z', '2026-03-29T12:00:00Z'))[0]).toBe('2026-03-29T02:00:00.000Z');
  const long = await at('* * * * *', '2025-12-01T00:00:00Z', '2026-01-01T00:00:30Z');
  expect(long.length).toBeLessThanOrEqual(2_032);
  expect(long.filter((time) => time <= '2026-01-01T00:00:30Z').at(-1)).toBe('2026-01-01T00:00:00.000Z');
}); // prettier-ignore

test('while no Temporal answers nothing is lost: one tick for all that was missed, or each of them', async () => {
  const once = await startJob(longwatch, config, 'down_once');
  const each = await startJob(longwatch, config, 'down_each');
  await eventually('both tick', async () => (await once.history()).length > 1 && (await each.history()).length > 1);
  await stack.servers.kill('temporal');
  await delay(2_000);
  await stack.servers.start('temporal');
  await eventually('one tick stands for many', async () => (await once.history(1_000)).some((tick) => tick.elapsed > 10));
  // Four or more were missed, and are made up for one by one.
  const caughtUp = async () => Date.now() - Date.parse((await each.history(1))[0]!.due) < 1_500;
  await eventually('each is made up for', caughtUp);
  for (const [job, table, everyMs] of [[once, 'down_once', 100], [each, 'down_each', 500]] as const) {
    const { intervals, skipped, ticks } = await stopped(table);
    expect(skipped).toBe(0);
    const history = await job.history(10_000);
    const span = (Date.parse(history[0]!.due) - Date.parse(history.at(-1)!.due)) / everyMs + 1;
    expect(intervals).toBe(span - 1 + history.at(-1)!.elapsed);
    if (table === 'down_each') expect(ticks).toBe(intervals);
    expect(await valuesOf(stack, table)).toEqual({ [intervals]: 100 });
  }
}); // prettier-ignore

test('a workflow that was terminated by hand is brought back, and what it missed is known', async () => {
  const job = await startJob(longwatch, config, 'lost');
  await eventually('it ticks', async () => (await job.history()).length > 1);
  await temporal.workflow.getHandle('job/lost').terminate('by hand');
  await expect(job.pause()).rejects.toThrow(/is gone; bring it back/);
  const database = new Database({ url: stack.servers.databaseUrl, log: stack.log });
  try {
    const before = (await job.history(1_000)).length;
    await eventually('it ticks again', async () => {
      await patrol(database, new TemporalLink(temporal), stack.log);
      return (await job.history(1_000)).length > before + 1;
    });
  } finally {
    await database.close();
  }
  const { intervals } = await stopped('lost');
  expect(await valuesOf(stack, 'lost')).toEqual({ [intervals]: 100 });
});

test('a workflow that is reset has forgotten ticks, and none of them is done again', async () => {
  const job = await startJob(longwatch, config, 'reset');
  await eventually('it ticks', async () => (await job.history(1_000)).length > 20);
  const { workflowExecution, workflowTask } = await eventually('a pass has ended', async () => {
    const { events } = await temporal.workflow.getHandle('job/reset').fetchHistory();
    const passes = events!.filter((event) => event.activityTaskCompletedEventAttributes);
    const task = events!.find(
      (event) => event.workflowTaskCompletedEventAttributes && Number(event.eventId) > Number(passes[2]?.eventId),
    );
    return task && { workflowExecution: { workflowId: 'job/reset' }, workflowTask: task.eventId };
  });
  await temporal.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution,
    workflowTaskFinishEventId: workflowTask,
    requestId: randomUUID(),
    reason: 'a test',
  });
  const before = (await job.history(1_000)).length;
  await eventually('it ticks again', async () => (await job.history(1_000)).length > before + 3);
  const { intervals } = await stopped('reset');
  const ticks = await job.history(1_000);
  const span = (Date.parse(ticks[0]!.due) - Date.parse(ticks.at(-1)!.due)) / 100 + 1;
  expect(intervals).toBe(span - 1 + ticks.at(-1)!.elapsed);
  expect(await valuesOf(stack, 'reset')).toEqual({ [intervals]: 100 });
});

describe('the command line', () => {
  async function longwatchCli(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const bin = path.join(__dirname, '../client/bin.ts');
    const env = {
      ...process.env,
      TEMPORAL_ADDRESS: stack.servers.temporalAddress,
      DATABASE_URL: stack.servers.databaseUrl,
    };
    const child = spawn(process.execPath, ['--require', require.resolve('tsx/cjs'), bin, ...args], { env });
    const ended = { status: null as number | null, stdout: '', stderr: '' };
    child.stdout.on('data', (data: Buffer) => (ended.stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (ended.stderr += data.toString()));
    ended.status = await new Promise((resolve) => child.once('close', resolve));
    return ended;
  }

  test('run, status, history, explain, failed; pause and resume by the same words as a tracker', async () => {
    await startJob(longwatch, config, 'shown');
    expect(await longwatchCli('regen', 'run', 'shown')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^100 rows in \d+\.\d+ s: \w+\n$/) as string,
    });
    expect((await longwatchCli('regen', 'status', 'shown')).stdout).toMatch(/shown +regen +running +366 d +100/);
    const { stdout } = await longwatchCli('regen', 'history', 'shown', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      job: 'shown',
      ticks: [{ rows: 100, band: expect.any(String) as string, by: 'hand' }],
    });
    expect((await longwatchCli('regen', 'explain', 'shown')).stdout).toMatch(
      /update "\w+"\."shown" set[\s\S]+Update on/,
    );
    expect((await longwatchCli('regen', 'failed', 'shown')).stdout).toBe('no row has failed\n');
    expect((await longwatchCli('pause', 'shown')).stdout).toBe("'shown' is paused\n");
    expect((await longwatchCli('status')).stdout).toMatch(/shown +regen +paused/);
    expect((await longwatchCli('config', 'shown', '--set', 'chunk=500')).stdout).toMatch(
      /chunk +500 +set \(configured: auto\)/,
    );
    expect((await longwatchCli('stop', 'shown')).status).toBe(0);
    // In a folder without a config it goes on with the options that it had.
    expect(await longwatchCli('start', 'shown')).toEqual({
      status: 0,
      stdout: "'shown' is running\n",
      stderr: 'with the options that it had: there is no config in this folder\n',
    });
    expect((await longwatchCli('config', 'shown')).stdout).toMatch(/chunk +500 +set/);
    expect(await longwatchCli('start', 'shwn')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^there is no longwatch\.config\.ts/) as string,
    });
    expect((await longwatchCli('stop', 'shown')).status).toBe(0);
  });

  test('sweep and decay by the same verbs; dead letters are shown and handled again', async () => {
    for (const name of ['sending', 'leaving']) await startJob(longwatch, config, name);
    expect(await longwatchCli('sweep', 'run', 'sending')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^9 rows in .*: \w+\n$/) as string,
      // Before it, where it takes long, how far it is.
      stderr: expect.stringMatching(/(^|\n)1 row failed\n$/) as string,
    });
    expect((await longwatchCli('sweep', 'failed', 'sending')).stdout).toMatch(/^key.*\n7 .*no such address/);
    await stack.sql('update letter set wrong = false');
    expect((await longwatchCli('sweep', 'retry', 'sending', '7')).stdout).toBe(
      "1 dead letter of 'sending' will be handled when due\n",
    );
    expect((await longwatchCli('sweep', 'run', 'sending')).stdout).toMatch(/^1 row in/);
    expect((await longwatchCli('decay', 'run', 'leaving')).stdout).toMatch(/^10 rows in/);
    expect((await longwatchCli('decay', 'status')).stdout).toMatch(/leaving +decay +running +366 d +10/);
    expect((await longwatchCli('sweep', 'history', 'sending')).stdout.trim().split('\n')).toHaveLength(3);
  });

  test('wrong use ends with 2 and says what to do', async () => {
    expect(await longwatchCli('regen', 'run', 'showm')).toMatchObject({ status: 2, stderr: "there is no job 'showm'; did you mean 'shown'?\n" });
    expect(await longwatchCli('sweep', 'run', 'shown')).toMatchObject({ status: 2, stderr: "'shown' is a regen: npx longwatch regen …\n" });
    expect(await longwatchCli('config', 'shown', '--set', 'chunk=0')).toMatchObject({ status: 2 });
    expect(await longwatchCli('regen', 'run', 'shown')).toMatchObject({ status: 1, stderr: expect.stringMatching(/is stopped/) as string });
  }); // prettier-ignore
});
