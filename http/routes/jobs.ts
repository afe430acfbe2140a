/** Jobs (regens, sweeps, decays): what they are and what is done to them. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { Command, pageQuery, SetBody, text, Why } from '../schemas';
import { Explained, FailedRow, Job, Tick } from '../shapes/job';
import { Commanded, Reconfigured, SettingShape, Started } from '../shapes/more';
import { all, listOf } from '../shapes/shape';

const tag = 'jobs';
const on = '/jobs/{job}';
const MOST_KEYS = 10_000;

const reads = [
  route({
    method: 'get',
    path: '/jobs',
    id: 'listJobs',
    tag,
    summary: 'Every job, with the tick that is open and the last one',
    answer: listOf(Job),
    covers: ['Longwatch.jobs'],
    run: async ({ longwatch }) => all((await longwatch.status()).jobs),
  }),
  route({
    method: 'get',
    path: on,
    id: 'getJob',
    tag,
    summary: 'One job',
    answer: Job,
    covers: ['JobHandle.status'],
    run: ({ longwatch, params }) => longwatch.job(params.job).status(),
  }),
  route({
    method: 'get',
    path: `${on}/ticks`,
    id: 'listTicks',
    tag,
    summary: 'Its ticks that have ended, the newest first',
    query: z.object(pageQuery(1_000, 20)),
    answer: listOf(Tick),
    covers: ['JobHandle.history', 'JobHandle.historyPage'],
    run: ({ longwatch, params, query }) => longwatch.job(params.job).historyPage(query),
  }),
  route({
    method: 'get',
    path: `${on}/failed-rows`,
    id: 'listFailedRows',
    tag,
    summary: "Rows that failed, the last ones first: in a regen's or decay's latest tick, or dead letters of a sweep",
    query: z.object(pageQuery(1_000, 100)),
    answer: listOf(FailedRow),
    covers: ['JobHandle.failedRows', 'JobHandle.failedRowsPage'],
    run: ({ longwatch, params, query }) => longwatch.job(params.job).failedRowsPage(query),
  }),
  route({
    method: 'get',
    path: `${on}/explain`,
    id: 'explainJob',
    tag,
    summary: "Its statement, PostgreSQL's plan of it, and what stands in the way of speed; runs nothing",
    answer: Explained,
    covers: ['JobHandle.explain'],
    run: ({ longwatch, params }) => longwatch.job(params.job).explain(),
  }),
  route({
    method: 'get',
    path: `${on}/config`,
    id: 'getJobConfig',
    tag,
    summary: 'Every option, its value and where that comes from',
    answer: listOf(SettingShape),
    covers: ['JobHandle.config'],
    tagged: true,
    run: async ({ longwatch, params }) => all(await longwatch.job(params.job).config()),
  }),
];

const commands = [
  route({
    method: 'post',
    path: `${on}/run`,
    id: 'runJob',
    tag,
    summary: 'A tick now, beside the schedule; answers when it has ended',
    body: Command,
    answer: Tick,
    covers: ['JobHandle.run'],
    addsUp: true,
    run: ({ longwatch, params, body, signal }) => longwatch.job(params.job).run({ ...body, signal }),
  }),
  route({
    method: 'post',
    path: `${on}/failed-rows/retry`,
    id: 'retryFailedRows',
    tag,
    summary: 'Dead letters of a sweep are handled again when they are due',
    body: z.strictObject({
      keys: z
        .array(z.array(text(2_000, 0)).min(1).max(32))
        .max(MOST_KEYS)
        .optional()
        .openapi({ description: 'the columns of each key, as the list of failed rows has them; all, unless given' }),
      why: Why,
    }),
    answer: z.object({ rows: z.number() }),
    covers: ['JobHandle.retryFailed'],
    run: async ({ longwatch, params, body: { keys, ...command } }) => ({
      rows: await longwatch.job(params.job).retryFailed(keys, command),
    }),
  }),
  route({
    method: 'post',
    path: `${on}/start`,
    id: 'startJob',
    tag,
    summary: 'Starts one that was stopped, with the options that it had',
    body: Command,
    answer: Started,
    covers: ['JobHandle.start'],
    run: ({ longwatch, params, body }) => longwatch.job(params.job).start(undefined, body),
  }),
  route({
    method: 'post',
    path: `${on}/stop`,
    id: 'stopJob',
    tag,
    summary: 'Ends the pass that works; a tick that has begun is finished after the next start',
    body: Command,
    answer: Commanded,
    covers: ['JobHandle.stop'],
    run: ({ longwatch, params, body }) => longwatch.job(params.job).stop(body),
  }),
  route({
    method: 'post',
    path: `${on}/pause`,
    id: 'pauseJob',
    tag,
    summary: 'No tick begins until it is resumed, and the one that works waits',
    body: Command,
    answer: Commanded,
    covers: ['JobHandle.pause'],
    run: ({ longwatch, params, body }) => longwatch.job(params.job).pause(body),
  }),
  route({
    method: 'post',
    path: `${on}/resume`,
    id: 'resumeJob',
    tag,
    summary: 'Goes on; ticks that fell due meanwhile are not made up for',
    body: Command,
    answer: Commanded,
    covers: ['JobHandle.resume'],
    run: ({ longwatch, params, body }) => longwatch.job(params.job).resume(body),
  }),
  route({
    method: 'patch',
    path: `${on}/config`,
    id: 'setJobConfig',
    tag,
    summary: 'Changes options while it runs; null takes a change back',
    body: SetBody,
    answer: Reconfigured,
    covers: ['JobHandle.set'],
    run: ({ longwatch, params, onlyIf, body: { changes, why } }) =>
      longwatch.job(params.job).set(changes, { why, onlyIf }),
  }),
];

export const JOB_ROUTES = [...reads, ...commands];
