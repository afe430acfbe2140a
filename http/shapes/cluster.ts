/** Nodes and what is done to them as the API tells it: what `client/cluster` answers. For `routes/`. */
import { z } from '@hono/zod-openapi';
import type { MoveResult } from '../../client/cluster/move';
import type { WishResult } from '../../client/cluster/node';
import type { ClusterReport, HeartbeatReport, NodeFigures, NodeReport } from '../../client/cluster/nodes';
import type { RebalancePreview, RebalanceResult } from '../../client/cluster/rebalance';
import { Names, shapeOf, Time } from './shape';

const Minute = z
  .object({
    lateMs: z.number().nullable(),
    fetched: z.number(),
    failed: z.number(),
    restarts: z.number(),
    declined: z.number(),
    redirected: z.number(),
    moved: z.number(),
    fenced: z.number(),
  })
  .openapi('LastMinute');

const Figures = shapeOf<NodeFigures>()(
  z
    .object({
      eventLoop: z.number(),
      lagMs: z.number(),
      cpu: z.number(),
      rssBytes: z.number(),
      heapBytes: z.number(),
      heapLimitBytes: z.number(),
      members: z.number(),
      share: z.number().nullable(),
      health: z.number(),
      trust: z.number(),
      storeRefusedMs: z.number().nullable(),
      temporalRefusedMs: z.number().nullable(),
      lacks: Names,
      stuck: z.number(),
      failing: z.object({ pools: z.number(), example: z.string().nullable() }),
      minute: Minute,
    })
    .openapi('NodeFigures'),
);

const PartDrains = z.array(z.object({ tracker: z.string(), until: Time.nullable() }));

export const Node = shapeOf<NodeReport>()(
  z
    .object({
      name: z.string(),
      host: z.string(),
      pid: z.number(),
      version: z.string().nullable(),
      labels: Names,
      address: z.string().nullable(),
      metricsUrl: z.string().nullable(),
      startedAt: Time,
      seenAt: Time,
      alive: z.boolean(),
      ended: z.boolean(),
      drained: z.boolean(),
      drainedAt: Time.nullable(),
      drainedUntil: Time.nullable(),
      drainedFor: PartDrains,
      target: z.number().nullable(),
      weight: z.number(),
      pools: z.number(),
      members: z.number(),
      load: z.number().nullable(),
      share: z.number().nullable(),
      poollessSince: Time.nullable(),
      keeps: Names.nullable(),
      use: Figures.nullable(),
      verdict: z.object({ level: z.enum(['good', 'note', 'warning', 'bad']), word: z.string(), text: z.string() }),
    })
    .openapi('Node'),
);

const Heartbeat = shapeOf<HeartbeatReport>()(
  z
    .object({ tracker: z.string(), wantedMs: z.number(), timeoutMs: z.number(), isOverBudget: z.boolean() })
    .openapi('Heartbeat'),
);

export const Cluster = shapeOf<ClusterReport>()(
  z.object({ nodes: z.array(Node), heartbeats: z.array(Heartbeat), wantedNodes: z.number() }).openapi('Cluster'),
);

export const Wish = shapeOf<WishResult>()(
  z
    .object({
      node: z.string(),
      changed: z.boolean(),
      drained: z.boolean(),
      drainedFor: PartDrains,
      drainedUntil: Time.nullable(),
      target: z.number().nullable(),
      weight: z.number(),
      ended: z.boolean(),
    })
    .openapi('Wish'),
);

export const MoveOutcome = shapeOf<MoveResult>()(
  z
    .object({ tracker: z.string(), pool: z.number(), from: z.string(), to: z.string(), changed: z.boolean() })
    .openapi('MoveOutcome'),
);

const PoolMove = z
  .object({ tracker: z.string(), pool: z.number(), from: z.string(), to: z.string() })
  .openapi('PoolMove');
const side = z.object({ load: z.number(), pools: z.number() });
const preview = {
  moves: z.array(PoolMove),
  members: z.number(),
  nodes: z.array(
    z.object({
      name: z.string(),
      before: side,
      after: side,
      share: z.number(),
      gives: z.number(),
      gets: z.number(),
    }),
  ),
  stuck: Names,
};

export const Preview = shapeOf<RebalancePreview>()(z.object(preview).openapi('RebalancePreview'));

export const Rebalanced = shapeOf<RebalanceResult>()(
  z
    .object({
      ...preview,
      moved: z.number(),
      failed: z.array(
        z.object({ tracker: z.string(), pool: z.number(), from: z.string(), to: z.string(), why: z.string() }),
      ),
    })
    .openapi('Rebalanced'),
);
