/** Trackers as the API tells them: what `client/tracker` and `client/status.ts` answer. For `routes/`. */
import { z } from '@hono/zod-openapi';
import type { BriefLife } from '../../client/member/lives';
import type { OperationSummary, TrackerSummary } from '../../client/status';
import type { ReconcileResult } from '../../client/tracker/handle';
import type { Member, MemberDetails, PoolSummary, StoredValue } from '../../client/tracker/members';
import type { Alive, Place, TrackerCount } from '../../client/tracker/questions';
import type { RosterResult } from '../../client/tracker/roster';
import type { HoldSummary, RefetchResult } from '../../client/tracker/told';
import type { HeldBackSummary, WaitSummary } from '../../client/tracker/waits';
import { StruckValues } from './member';
import { AnyJson, Names, shapeOf, Time } from './shape';

export const State = z.enum(['running', 'paused', 'stopped']);

export const Hold = shapeOf<HoldSummary>()(
  z
    .object({
      tracker: z.string(),
      operation: z.string().nullable().openapi({ description: 'null: the whole tracker' }),
      heldUntil: Time,
      leftMs: z.number(),
      toldAt: Time,
      node: z.string(),
      reason: z.string(),
    })
    .openapi('Hold'),
);

const HeldBack = shapeOf<HeldBackSummary>()(
  z
    .object({
      operation: z.string(),
      upstream: z.string(),
      limit: z.string(),
      members: z.number(),
      buckets: z.number(),
      bucket: z.string(),
      closed: z.boolean(),
      until: Time.nullable(),
    })
    .openapi('HeldBack'),
);

const Operation = shapeOf<OperationSummary>()(
  z
    .object({
      name: z.string(),
      everyMs: z.number(),
      enabled: z.boolean(),
      fetched: z.number(),
      failed: z.number(),
      skipped: z.number(),
      stale: z.number().openapi({ description: 'members whose value is older than 3 × max(interval, Expires, hold)' }),
      staleExact: z.boolean(),
      lastRoundMs: z.number().nullable(),
      lateP50Ms: z.number().nullable(),
      lateP99Ms: z.number().nullable(),
    })
    .openapi('Operation'),
);

export const Tracker = shapeOf<TrackerSummary>()(
  z
    .object({
      name: z.string(),
      state: State,
      members: z.number(),
      pools: z.number(),
      poolsOnShift: z.number(),
      quarantined: z.number(),
      unbegun: z.number().openapi({ description: 'pools whose shift no node began for a minute' }),
      paused: z.boolean(),
      gate: z.enum(['open', 'closed', 'unknown']).nullable().openapi({ description: 'null: it has none' }),
      operations: z.array(Operation),
      holds: z.array(Hold),
      heldBack: z.array(HeldBack),
    })
    .openapi('Tracker'),
);

export const Pool = shapeOf<PoolSummary>()(
  z
    .object({
      pool: z.number(),
      members: z.number(),
      node: z.string().nullable(),
      onShift: z.boolean(),
      shift: z.number().nullable(),
      attempt: z.number().nullable(),
      takenAt: Time.nullable(),
      crashes: z.number(),
      quarantinedAt: Time.nullable(),
      lastError: z.string().nullable(),
      unbegunSince: Time.nullable(),
      unbegunOn: z.string().nullable(),
    })
    .openapi('Pool'),
);

const member = { id: z.string(), pool: z.number(), addedAt: Time };

export const MemberShape = shapeOf<Member>()(z.object(member).openapi('Member'));

const Wait = shapeOf<WaitSummary>()(
  z
    .object({
      operation: z.string(),
      bucket: z.string(),
      closed: z.boolean(),
      since: Time,
      until: Time.nullable(),
    })
    .openapi('Wait'),
);

const Value = shapeOf<StoredValue>()(
  z
    .object({
      operation: z.string(),
      hidden: z.boolean().openapi({ description: 'its definition hides its values: `value` is null' }),
      value: AnyJson,
      encodedBy: z.string().nullable(),
      decodeError: z.string().nullable(),
      fetchedAt: Time.nullable(),
      ageMs: z.number().nullable(),
      changedAt: Time.nullable(),
      expiresAt: Time.nullable(),
      etag: z.string().nullable(),
      heldUntil: Time.nullable(),
      nextAt: Time.nullable(),
      failedAt: Time.nullable(),
      failures: z.number(),
      error: z.string().nullable(),
    })
    .openapi('Value'),
);

const Life = shapeOf<BriefLife>()(
  z
    .object({
      version: z.number(),
      stateBytes: z.number().nullable(),
      writtenAt: Time.nullable(),
      mail: z.object({ entries: z.number(), bytes: z.number(), oldestAt: Time.nullable() }),
      timers: z.array(z.object({ name: z.string(), at: Time, attempts: z.number(), strikes: z.number() })),
      struckValues: StruckValues,
      dead: z.number(),
    })
    .openapi('Life'),
);

export const MemberDetailsShape = shapeOf<MemberDetails>()(
  z
    .object({
      ...member,
      tracker: z.string(),
      state: State,
      node: z.string().nullable(),
      values: z.array(Value),
      holds: z.array(Hold),
      waits: z.array(Wait),
      life: Life.nullable().openapi({ description: 'null: it has no state, mail or timers' }),
    })
    .openapi('MemberDetails'),
);

export const Count = shapeOf<TrackerCount>()(
  z
    .object({
      tracker: z.string(),
      state: State,
      members: z.number(),
      membersKept: z.number(),
      pools: z.number(),
      poolsKept: z.number(),
    })
    .openapi('Count'),
);

const place = {
  tracker: z.string(),
  id: z.string(),
  pool: z.number(),
  node: z.string().nullable(),
  state: z.enum(['kept', 'between shifts', 'never kept', 'node gone', 'quarantined', 'stopped']),
  takenAt: Time.nullable(),
  addedAt: Time,
};

export const PlaceShape = shapeOf<Place>()(z.object(place).openapi('Place'));

export const AliveShape = shapeOf<Alive>()(
  z
    .object({
      ...place,
      alive: z.boolean(),
      silentMs: z.number().nullable(),
      lastRunAt: Time.nullable(),
      lastRunMs: z.number().nullable(),
    })
    .openapi('Alive'),
);

export const Roster = shapeOf<RosterResult>()(
  z
    .object({
      accepted: z.number(),
      duplicates: z.number(),
      signals: z.number(),
      pools: z.number(),
      applied: z.boolean(),
      state: State,
    })
    .openapi('Roster'),
);

export const Refetch = shapeOf<RefetchResult>()(
  z
    .object({
      tracker: z.string(),
      operation: z.string().nullable(),
      members: z.number(),
      notTracked: Names,
    })
    .openapi('Refetch'),
);

export const Reconcile = shapeOf<ReconcileResult>()(
  z
    .object({
      missing: Names,
      surplus: Names,
      matching: z.number(),
      duplicates: z.number(),
      applied: z.boolean(),
    })
    .openapi('Reconcile'),
);
