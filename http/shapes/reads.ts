/** Lists of a tracker's members and what is wrong with them: what `client/tracker/reads.ts` answers. For `routes/`. */
import { z } from '@hono/zod-openapi';
import type { Freshness, OldestMember } from '../../client/tracker/freshness';
import type { ErrorReport, FailingMember, MemberSummary } from '../../client/tracker/lists';
import { WAIT_REASONS, type NextRun } from '../../client/tracker/next';
import { Names, shapeOf, Time } from './shape';

const place = { id: z.string(), pool: z.number(), node: z.string().nullable() };

export const MemberSummaryShape = shapeOf<MemberSummary>()(
  z.object({ ...place, addedAt: Time, lastRunAt: Time.nullable(), failing: Names }).openapi('MemberSummary'),
);

export const FailingShape = shapeOf<FailingMember>()(
  z
    .object({
      ...place,
      operation: z.string(),
      failures: z.number(),
      error: z.string(),
      failedAt: Time.nullable(),
      fetchedAt: Time.nullable(),
      heldUntil: Time.nullable(),
    })
    .openapi('FailingMember'),
);

export const ErrorsShape = shapeOf<ErrorReport>()(
  z
    .object({
      groups: z.array(
        z.object({
          operation: z.string(),
          text: z.string().openapi({ example: 'HttpError: 503 of /characters/#' }),
          members: z.number(),
          example: z.object({ id: z.string(), error: z.string(), failedAt: Time.nullable() }),
        }),
      ),
      looked: z.number(),
      complete: z.boolean(),
    })
    .openapi('ErrorReport'),
);

export const FreshnessShape = shapeOf<Freshness>()(
  z
    .object({
      operations: z.array(z.object({ name: z.string(), everyMs: z.number(), enabled: z.boolean() })),
      pools: z.number(),
      cells: z.array(
        z.object({
          pool: z.number(),
          node: z.string().nullable(),
          operation: z.string(),
          members: z.number(),
          never: z.number(),
          p50Ms: z.number().nullable(),
          p95Ms: z.number().nullable(),
          maxMs: z.number().nullable(),
          lifetimes: z.number().nullable().openapi({
            description: 'the age of the most overdue value, in lifetimes of its own: 1 is due, 3 is stale',
          }),
          toldAt: Time,
          toldMs: z.number(),
        }),
      ),
    })
    .openapi('Freshness'),
);

export const OldestShape = shapeOf<OldestMember>()(
  z
    .object({
      ...place,
      operation: z.string(),
      fetchedAt: Time.nullable(),
      ageMs: z.number(),
      failures: z.number(),
      error: z.string().nullable(),
      heldUntil: Time.nullable(),
    })
    .openapi('OldestMember'),
);

export const NextShape = shapeOf<NextRun>()(
  z
    .object({
      operation: z.string(),
      at: Time.nullable().openapi({ description: 'at the earliest; in the past: it is due; null: nobody knows' }),
      reasons: z.array(z.object({ reason: z.enum(WAIT_REASONS), until: Time.nullable(), text: z.string() })),
    })
    .openapi('NextRun'),
);
