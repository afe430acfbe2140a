/** The history of figures, for charts, and what to mark in them. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { pageQuery, text } from '../schemas';
import type { Series } from '../../client/series';
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

const MOST_NAMES = 500;
const Names = z.array(text(4_000)).min(1).max(MOST_NAMES);

/** Names have any character, so that a list of them is JSON. An address has room for some thousand bytes. */
const names = text(10_000)
  .optional()
  .transform((value, context): string[] | undefined => {
    if (value === undefined) return undefined;
    const read = Names.safeParse(jsonOf(value));
    if (read.success) return read.data;
    context.addIssue({ code: 'custom', message: `it is a JSON array of 1 to ${MOST_NAMES} names` });
    return z.NEVER;
  })
  .openapi({ description: 'only these, as a JSON array; all, unless given', example: '["characters/location"]' });

const prefix = text(4_000).optional().openapi({ description: 'only those whose names begin with it', example: 'esi/' });

const figures = text(1_000)
  .optional()
  .transform((value) => value?.split(','))
  .openapi({
    description: 'only these columns, with commas between them; all, unless given',
    example: 'fetched,failed',
  });

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A list of many things is short by the columns that nobody has asked for. */
function only(series: Series, wanted: readonly string[] | undefined): Series {
  if (wanted === undefined) return series;
  const kept = Object.entries(series.figures).filter(([figure]) => wanted.includes(figure));
  return { ...series, figures: Object.fromEntries(kept) };
}

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
    summary: 'The figures of the things of a kind, by their names: all that have a history, or those with these names',
    query: z.object({ ...range, step, names, prefix, figures, ...pageQuery(MOST_NAMES, 100) }),
    answer: listOf(SeriesShape),
    covers: ['Longwatch.allSeries', 'Longwatch.seriesPage'],
    run: async ({ longwatch, params, query: { figures: wanted, ...query } }) => {
      const { items, next } = await longwatch.seriesPage(params.kind, query);
      return { items: items.map((series) => only(series, wanted)), next };
    },
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
