/** Members that receive, as the API tells them: what `client/member` answers. For `routes/lives.ts`. */
import { z } from '@hono/zod-openapi';
import type { Trace } from '../../activities/tracker/member/types';
import type { DeadLetter, DeadLettersResult } from '../../client/member/dead';
import type { MemberLife, MemberLifeDetails, MemberStruckValue } from '../../client/member/lives';
import { AnyJson, shapeOf, Time } from './shape';

const TraceShape = shapeOf<Trace>()(
  z.object({ requestId: z.string().optional(), traceparent: z.string().optional() }).openapi('Trace'),
);

const life = {
  id: z.string(),
  version: z.number(),
  stateBytes: z.number().nullable(),
  writtenAt: Time.nullable(),
  mail: z.object({ entries: z.number(), bytes: z.number(), oldestAt: Time.nullable() }),
};

export const MemberLifeShape = shapeOf<MemberLife>()(z.object({ ...life, timers: z.number() }).openapi('MemberLife'));

const Message = z
  .object({
    from: z.string(),
    message: AnyJson,
    bytes: z.number(),
    storedAt: Time,
    isRequest: z.boolean(),
    attempts: z.number(),
    error: z.string().nullable(),
    notBefore: Time.nullable(),
    strikes: z.number().openapi({ description: 'processes that have ended while its handler may have been at work' }),
    trace: TraceShape.nullable(),
  })
  .openapi('MemberMessage');

export const StruckValues = z
  .array(
    shapeOf<MemberStruckValue>()(
      z.object({ operation: z.string(), changedAt: Time, strikes: z.number() }).openapi('MemberStruckValue'),
    ),
  )
  .openapi({ description: 'values whose `apply` may have ended processes; with three strikes one is passed over' });

export const MemberLifeDetailsShape = shapeOf<MemberLifeDetails>()(
  z
    .object({
      ...life,
      tracker: z.string(),
      state: AnyJson,
      stateVersion: z.number(),
      messages: z.array(Message).openapi({ description: 'the first 20 that wait, in their order' }),
      timers: z.array(
        z.object({ name: z.string(), at: Time, attempts: z.number(), strikes: z.number(), message: AnyJson }),
      ),
      struckValues: StruckValues,
      dead: z.number(),
    })
    .openapi('MemberLifeDetails'),
);

export const MemberLetter = shapeOf<DeadLetter>()(
  z
    .object({
      id: z.string().openapi({ example: '4711' }),
      member: z.string(),
      value: AnyJson,
      error: z.string(),
      attempts: z.number(),
      diedAt: Time,
      from: z.string(),
      replyTo: z.object({ tracker: z.string(), id: z.string() }).nullable(),
      trace: TraceShape.nullable(),
    })
    .openapi('MemberLetter'),
);

export const MemberLettersOutcome = shapeOf<DeadLettersResult>()(
  z.object({ chosen: z.number(), applied: z.boolean() }).openapi('MemberLettersOutcome'),
);
