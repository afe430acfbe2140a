/** The deployment as a whole: who asks, what there is, what is wrong, what was done. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { readState } from '../state';
import { route } from '../route';
import { pageQuery, text } from '../schemas';
import { Act, Doctor } from '../shapes/more';
import { all, listOf } from '../shapes/shape';
import { StateShape, StatusShape } from '../shapes/state';
import { Count, Hold } from '../shapes/tracker';
import { ROLES } from '../who';

const tag = 'overview';

const Me = z
  .object({
    name: z.string(),
    role: z.enum(ROLES),
    byCookie: z.boolean().openapi({ description: 'by the cookie that `login` has set: `logout` ends it' }),
    environment: z
      .object({
        temporal: z.string(),
        namespace: z.string(),
        database: z.string().nullable(),
        ui: z.string().nullable(),
      })
      .openapi({ description: 'the servers, without passwords' }),
  })
  .openapi('Me');

export const OVERVIEW_ROUTES = [
  route({
    method: 'get',
    path: '/me',
    id: 'getMe',
    tag,
    summary: 'Who asks, by their token, and what they may',
    answer: Me,
    covers: [],
    run: async ({ longwatch: { environment }, caller: { name, role, byCookie }, ui }) => ({
      name,
      role,
      byCookie,
      environment: {
        temporal: environment.temporal.address,
        namespace: environment.temporal.namespace,
        database: environment.databaseUrl ?? null,
        ui,
      },
    }),
  }),
  route({
    method: 'get',
    path: '/state',
    id: 'getState',
    tag,
    summary: 'All that the stream tells, at one moment',
    answer: StateShape,
    covers: ['Longwatch.now'],
    run: ({ longwatch }) => readState(longwatch),
  }),
  route({
    method: 'get',
    path: '/status',
    id: 'getStatus',
    tag,
    summary: 'Every tracker, job, buffer and node; from PostgreSQL alone',
    answer: StatusShape,
    covers: ['Longwatch.status'],
    run: ({ longwatch }) => longwatch.status(),
  }),
  route({
    method: 'get',
    path: '/count',
    id: 'count',
    tag,
    summary: 'How many ids each tracker has, and how many of them live nodes keep right now',
    answer: listOf(Count),
    covers: ['Longwatch.count'],
    run: async ({ longwatch }) => all(await longwatch.count()),
  }),
  route({
    method: 'get',
    path: '/holds',
    id: 'listHolds',
    tag,
    summary: 'Holds that upstreams have asked for, of all trackers, the longest first',
    answer: listOf(Hold),
    covers: ['Longwatch.holds'],
    run: async ({ longwatch }) => all(await longwatch.holds()),
  }),
  route({
    method: 'get',
    path: '/doctor',
    id: 'diagnose',
    tag,
    summary: 'All that is wrong, what to do, and what could not be looked at',
    answer: Doctor,
    covers: ['Longwatch.doctor', 'Longwatch.workersPoll'],
    run: ({ longwatch }) => longwatch.doctor(),
  }),
  route({
    method: 'get',
    path: '/kinds/{name}',
    id: 'kindOf',
    tag,
    summary: 'The kind of the thing that has this name',
    answer: z.object({ kind: z.enum(['tracker', 'buffer', 'job']) }),
    covers: ['Longwatch.kindOf'],
    run: async ({ longwatch, params }) => ({ kind: await longwatch.kindOf(params.name) }),
  }),
  route({
    method: 'get',
    path: '/audit',
    id: 'listActs',
    tag,
    summary: 'The commands of operators, the newest first',
    query: z.object({
      subject: text(600).optional().openapi({ example: 'tracker/characters' }),
      since: z.iso.datetime({ offset: true }).optional(),
      ...pageQuery(1_000, 100),
    }),
    answer: listOf(Act),
    covers: ['Longwatch.audit', 'Longwatch.auditPage'],
    run: ({ longwatch, query: { since, ...options } }) =>
      longwatch.auditPage({ ...options, since: since === undefined ? undefined : new Date(since) }),
  }),
];
