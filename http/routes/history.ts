/** The history of figures, for charts, and what to mark in them. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { text } from '../schemas';
import { MarkShape, SeriesShape } from '../shapes/history';
import { all, listOf } from '../shapes/shape';

const tag = 'history';

const time = text(100).optional();
const range = {
  from: time.openapi({ description: 'a time; by default an hour before `to`' }),
  to: time.openapi({ description: 'a time; by default now' }),
};
const step = text(20)
  .optional()
  .openapi({ description: 'the length of a point: whole minutes, or whole hours', example: '5m' });

export const HISTORY_ROUTES = [
  route({
    method: 'get',
    path: '/history/{kind}/{thing}',
    id: 'getHistory',
    tag,
    summary: 'The figures of one thing, by the minute for a day and by the hour for a month',
    query: z.object({ ...range, step }),
    answer: SeriesShape,
    covers: ['Longwatch.series'],
    run: ({ longwatch, params: { kind, thing }, query }) => longwatch.series(kind, thing, query),
  }),
  route({
    method: 'get',
    path: '/history/{kind}',
    id: 'listHistories',
    tag,
    summary: 'The figures of all things of a kind',
    query: z.object({ ...range, step }),
    answer: listOf(SeriesShape),
    covers: ['Longwatch.allSeries'],
    run: async ({ longwatch, params, query }) => all(await longwatch.allSeries(params.kind, query)),
  }),
  route({
    method: 'get',
    path: '/marks',
    id: 'listMarks',
    tag,
    summary: 'Marks for charts: what operators did, and when processes of nodes began',
    query: z.object(range),
    answer: listOf(MarkShape),
    covers: ['Longwatch.marks'],
    run: async ({ longwatch, query }) => all(await longwatch.marks(query)),
  }),
];
