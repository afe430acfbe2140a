/**
 * Limits of upstreams, durable activities, the audit, the doctor and options as the API tells them: what the rest of
 * `client/` answers. For `routes/`.
 */
import { z } from '@hono/zod-openapi';
import type { AuditRow } from '../../client/audit';
import type { BucketSummary, ClosedLimit } from '../../client/budget';
import type { MemberBucket } from '../../client/member-buckets';
import type { Diagnosis } from '../../client/doctor/doctor';
import type { BrokenCompensation, KeyDetails, KeySummary, LeaseSummary } from '../../client/durable/handle';
import type { Setting } from '../../client/settings';
import type { StartResult } from '../../client/unit';
import type { CommandResult, ReconfigureResult } from '../../workflows/lib/contract';
import { AnyJson, shapeOf, Time } from './shape';
import { State } from './tracker';

export const Bucket = shapeOf<BucketSummary>()(
  z
    .object({
      bucket: z.string().openapi({ example: 'esi/group:90000001' }),
      upstream: z.string(),
      limit: z.string(),
      key: z.string().openapi({ description: 'a key that is a secret is a hash' }),
      shape: z.enum(['floating', 'fixed', 'calendar', 'leaky', 'concurrent']),
      tokens: z.number().nullable(),
      windowMs: z.number().nullable(),
      remaining: z.number().nullable(),
      spent: z.number(),
      held: z.number(),
      othersPerSecond: z.number(),
      nodes: z.array(z.object({ node: z.string(), wants: z.number(), has: z.number() })),
      closedUntil: Time.nullable(),
      closedMs: z.number(),
      closedReason: z.string().nullable(),
      at: Time,
    })
    .openapi('Bucket'),
);

export const ClosedLimitShape = shapeOf<ClosedLimit>()(
  z
    .object({
      bucket: z.string().openapi({ example: 'esi/errors' }),
      upstream: z.string(),
      limit: z.string(),
      closedUntil: Time,
      closedMs: z.number(),
      closedReason: z.string().nullable(),
    })
    .openapi('ClosedLimit'),
);

export const MemberBucketShape = shapeOf<MemberBucket>()(
  z
    .object({
      bucket: z.string().openapi({ example: 'esi/group:char-location:90000001' }),
      upstream: z.string(),
      limit: z.string(),
      key: z.string().openapi({ description: 'a key that is a secret is a hash' }),
      tracker: z.string(),
      member: z.string(),
      tokens: z.number().nullable(),
      windowMs: z.number(),
      spent: z.number(),
      remaining: z.number().nullable(),
      closedUntil: Time.nullable(),
      closedMs: z.number(),
    })
    .openapi('MemberBucket'),
);

export const Lease = shapeOf<LeaseSummary>()(
  z
    .object({
      task: z.string(),
      activity: z.string(),
      workflow: z.string(),
      owner: z.string(),
      attempt: z.number(),
      resource: z.string().nullable(),
      heldMs: z.number(),
      leftMs: z.number(),
    })
    .openapi('Lease'),
);

export const Key = shapeOf<KeyDetails>()(
  z
    .object({
      activity: z.string(),
      key: z.string(),
      state: z.enum(['reserved', 'done', 'failed']),
      task: z.string(),
      workflow: z.string(),
      attempts: z.number(),
      createdAt: Time,
      expiresAt: Time.nullable(),
      result: z.unknown().openapi({ description: 'any JSON' }),
      error: z.string().nullable(),
      otherInputs: z.number(),
      otherInputAt: Time.nullable(),
      otherInputBy: z.string().nullable(),
    })
    .openapi('Key'),
);

export const KeyListed = shapeOf<KeySummary>()(
  z
    .object({
      key: z.string(),
      state: z.enum(['reserved', 'done', 'failed']),
      task: z.string(),
      workflow: z.string(),
      attempts: z.number(),
      createdAt: Time,
    })
    .openapi('KeyListed'),
);

export const Compensation = shapeOf<BrokenCompensation>()(
  z
    .object({
      task: z.string(),
      activity: z.string(),
      saga: z.string(),
      target: z.string(),
      state: z.enum(['failed', 'retrying']),
      attempts: z.number(),
      failedAt: Time,
      error: z.string().nullable(),
    })
    .openapi('Compensation'),
);

export const Act = shapeOf<AuditRow>()(
  z
    .object({
      number: z.string(),
      at: Time,
      actor: z.string(),
      via: z.enum(['cli', 'client', 'http']),
      what: z.string().openapi({ example: 'node drain' }),
      subject: z.string().openapi({ example: 'node/worker-1' }),
      before: AnyJson.optional(),
      after: AnyJson.optional(),
      why: z.string().optional(),
      outcome: z.enum(['done', 'unchanged', 'refused', 'unknown']).nullable(),
      error: z.string().optional(),
    })
    .openapi('AuditRow'),
);

export const Doctor = shapeOf<Diagnosis>()(
  z
    .object({
      findings: z.array(
        z
          .object({
            check: z.string(),
            severity: z.enum(['problem', 'notice']),
            what: z.string(),
            next: z.string(),
          })
          .openapi('Finding'),
      ),
      unknown: z.array(z.object({ check: z.string(), reads: z.string(), why: z.string() })),
      checked: z.number(),
    })
    .openapi('Diagnosis'),
);

export const SettingShape = shapeOf<Setting>()(
  z
    .object({
      path: z.string().openapi({ example: 'operations.location.every' }),
      value: z.string().openapi({ example: '1s' }),
      compiled: z.union([z.number(), z.boolean(), z.string(), z.null()]),
      source: z.enum(['default', 'defaults', 'definition', 'set']),
      configured: z.string().optional(),
    })
    .openapi('Setting'),
);

export const Started = shapeOf<StartResult>()(
  z.object({ alreadyRunning: z.boolean(), state: State, differs: z.boolean() }).openapi('Started'),
);

export const Commanded = shapeOf<CommandResult>()(
  z.object({ state: State, changed: z.boolean() }).openapi('Commanded'),
);

export const Reconfigured = shapeOf<ReconfigureResult>()(
  z.object({ changed: z.boolean(), version: z.number() }).openapi('Reconfigured'),
);
