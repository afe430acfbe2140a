/** `status`, and the state that the stream tells. For `routes/overview.ts`; read by `state.ts`. */
import { z } from '@hono/zod-openapi';
import type { NodeSummary, Status } from '../../client/status';
import { BufferShape } from './buffer';
import { Cluster } from './cluster';
import { Job } from './job';
import { Bucket, Doctor } from './more';
import { shapeOf, Time } from './shape';
import { Tracker } from './tracker';

const NodeRow = shapeOf<NodeSummary>()(
  z
    .object({
      name: z.string(),
      host: z.string(),
      pid: z.number(),
      live: z.boolean(),
      pools: z.number(),
      metricsUrl: z.string().nullable(),
      startedAt: Time,
      seenAt: Time,
    })
    .openapi('NodeSummary'),
);

export const StatusShape = shapeOf<Status>()(
  z
    .object({
      trackers: z.array(Tracker),
      jobs: z.array(Job),
      buffers: z.array(BufferShape),
      nodes: z.array(NodeRow),
      replica: z.object({ behindMs: z.number().nullable() }).optional(),
    })
    .openapi('Status'),
);

export const StateShape = z
  .object({
    at: Time.openapi({ description: "when it was read, by the database's clock" }),
    status: StatusShape,
    cluster: Cluster,
    doctor: Doctor,
    buckets: z.array(Bucket).openapi({ description: 'the first hundred, in the order of their names' }),
  })
  .openapi('State');
