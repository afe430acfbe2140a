/** The history: what `client/series.ts` and `client/marks.ts` answer. For `routes/history.ts`. */
import { z } from '@hono/zod-openapi';
import type { Mark } from '../../client/marks';
import { SERIES_KINDS, type Series } from '../../client/series';
import { shapeOf } from './shape';

export const SeriesShape = shapeOf<Series>()(
  z
    .object({
      kind: z.enum(SERIES_KINDS),
      name: z.string(),
      stepMs: z.number(),
      at: z.array(z.number()).openapi({ description: 'where each point begins, epoch milliseconds' }),
      seconds: z.array(z.number()).openapi({ description: 'seconds of each point that were counted' }),
      figures: z
        .record(z.string(), z.array(z.number().nullable()))
        .openapi({ description: 'a column a figure, a value a point; null: not known' }),
    })
    .openapi('Series'),
);

export const MarkShape = shapeOf<Mark>()(
  z
    .object({
      at: z.number().openapi({ description: 'epoch milliseconds' }),
      kind: z.enum(['act', 'start', 'restart']),
      text: z.string(),
      subject: z.string(),
      actor: z.string().nullable(),
    })
    .openapi('Mark'),
);
