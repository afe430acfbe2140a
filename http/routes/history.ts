/** The history of figures, for charts, and what to mark in them. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { text } from '../schemas';
import { Kind, MarkShape, SeriesShape } from '../shapes/history';
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
    path: '/history',
    id: 'getHistory',
    tag,
    summary: 'The figures of one thing, by the minute for a day and by the hour for a month',
    query: z.object({
      kind: Kind,
      name: text(4_000).openapi({
        description: 'an operation, buffer, job, bucket or node',
        example: 'characters/location',
      }),
      ...range,
      step,
    }),
    answer: SeriesShape,
    covers: ['Longwatch.series'],
    run: ({ longwatch, query: { kind, name, ...options } }) => longwatch.series(kind, name, options),
  }),
  route({
    method: 'get',
    path: '/histories',
    id: 'listHistories',
    tag,
    summary: 'The figures of all things of a kind',
    query: z.object({ kind: Kind, ...range, step }),
    answer: listOf(SeriesShape),
    covers: ['Longwatch.allSeries'],
    run: async ({ longwatch, query: { kind, ...options } }) => all(await longwatch.allSeries(kind, options)),
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
