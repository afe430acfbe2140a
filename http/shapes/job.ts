/** Jobs as the API tells them: what `client/job` answers. For `routes/`. */
import { z } from '@hono/zod-openapi';
import type { Explanation } from '../../activities/job/explain';
import type { JobSummary } from '../../client/job/status';
import type { FailedRowSummary, TickSummary } from '../../client/job/ticks';
import { Names, shapeOf, Time } from './shape';
import { State } from './tracker';

const Band = z.enum(['excellent', 'good', 'fair', 'warning']);

export const Job = shapeOf<JobSummary>()(
  z
    .object({
      name: z.string(),
      kind: z.enum(['regen', 'decay', 'sweep']),
      state: State,
      schedule: z.union([z.object({ everyMs: z.number() }), z.object({ cron: z.string(), timeZone: z.string() })]),
      open: z
        .object({
          due: Time,
          elapsed: z.number(),
          rows: z.number(),
          share: z.number().openapi({ description: '0 to 1, of its parts' }),
          node: z.string().nullable(),
          error: z.string().nullable(),
        })
        .nullable()
        .openapi({ description: 'the tick that has begun and not ended' }),
      last: z
        .object({
          due: Time,
          endedAt: Time,
          rows: z.number(),
          failed: z.number(),
          ms: z.number(),
          band: Band,
          error: z.string().nullable(),
        })
        .nullable(),
      failedRows: z.number(),
      claimed: z.number(),
    })
    .openapi('Job'),
);

export const Tick = shapeOf<TickSummary>()(
  z
    .object({
      due: Time,
      by: z.enum(['schedule', 'hand']),
      elapsed: z.number(),
      skipped: z.number(),
      startedAt: Time,
      endedAt: Time.nullable(),
      rows: z.number(),
      chunks: z.number(),
      failed: z.number(),
      ms: z.number(),
      longestMs: z.number().nullable(),
      roundTripP50Ms: z.number().nullable(),
      roundTripP99Ms: z.number().nullable(),
      band: Band.nullable(),
      error: z.string().nullable(),
    })
    .openapi('Tick'),
);

export const FailedRow = shapeOf<FailedRowSummary>()(
  z
    .object({
      key: Names,
      due: Time,
      error: z.string(),
      code: z.string().nullable(),
      attempts: z.number(),
      failedAt: Time,
    })
    .openapi('FailedRow'),
);

export const Explained = shapeOf<Explanation>()(
  z
    .object({ table: z.string(), key: Names, statement: z.string(), plan: Names, warnings: Names })
    .openapi('Explanation'),
);
