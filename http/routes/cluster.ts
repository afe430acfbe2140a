/** Nodes: how they do, what is wanted of them, and pools that move. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { Command, text, Why } from '../schemas';
import { Cluster, Node, Preview, Rebalanced, Wish } from '../shapes/cluster';

const tag = 'nodes';
const on = '/nodes/{node}';
const Tracker = text(200).optional().openapi({ description: 'only its pools of this tracker' });

const reads = [
  route({
    method: 'get',
    path: '/nodes',
    id: 'listNodes',
    tag,
    summary: 'Every node: what is wanted of it, what it keeps, how it does, and a verdict in words',
    answer: Cluster,
    covers: ['Longwatch.nodes'],
    run: ({ longwatch }) => longwatch.nodes(),
  }),
  route({
    method: 'get',
    path: '/rebalance',
    id: 'previewRebalance',
    tag,
    summary: 'The pools that balancing would move, and what each node would have; nothing is moved',
    answer: Preview,
    covers: ['Longwatch.previewRebalance'],
    run: ({ longwatch }) => longwatch.previewRebalance(),
  }),
  route({
    method: 'get',
    path: on,
    id: 'getNode',
    tag,
    summary: 'One node',
    answer: Node,
    covers: ['NodeHandle.report'],
    run: ({ longwatch, params }) => longwatch.node(params.node).report(),
  }),
];

const commands = [
  route({
    method: 'post',
    path: '/rebalance',
    id: 'rebalance',
    tag,
    summary: 'Moves pools until every node has its share',
    body: Command,
    answer: Rebalanced,
    covers: ['Longwatch.rebalance'],
    run: ({ longwatch, body, signal }) => longwatch.rebalance({ ...body, signal }),
  }),
  route({
    method: 'post',
    path: `${on}/drain`,
    id: 'drainNode',
    tag,
    summary: 'It gives away what it keeps and takes nothing, of all trackers or of one',
    body: z.strictObject({
      tracker: Tracker,
      for: z
        .union([z.string().max(50), z.number().positive()])
        .optional()
        .openapi({ description: 'then it is resumed by itself: `30m`, or milliseconds', example: '30m' }),
      why: Why,
    }),
    answer: Wish,
    covers: ['NodeHandle.drain'],
    run: ({ longwatch, params, body }) => longwatch.node(params.node).drain(body),
  }),
  route({
    method: 'post',
    path: `${on}/resume`,
    id: 'resumeNode',
    tag,
    summary: 'It may keep pools again: of all trackers, or of one that it was drained for',
    body: z.strictObject({ tracker: Tracker, why: Why }),
    answer: Wish,
    covers: ['NodeHandle.resume'],
    run: ({ longwatch, params, body }) => longwatch.node(params.node).resume(body),
  }),
  route({
    method: 'post',
    path: `${on}/target`,
    id: 'setTarget',
    tag,
    summary: 'Pools at most; null: its share',
    body: z.strictObject({ pools: z.number().nullable(), why: Why }),
    answer: Wish,
    covers: ['NodeHandle.target'],
    run: ({ longwatch, params, body: { pools, ...command } }) => longwatch.node(params.node).target(pools, command),
  }),
  route({
    method: 'post',
    path: `${on}/weight`,
    id: 'setWeight',
    tag,
    summary: 'Its part of the load against the other nodes, 1 by default',
    body: z.strictObject({ weight: z.number(), why: Why }),
    answer: Wish,
    covers: ['NodeHandle.weight'],
    run: ({ longwatch, params, body: { weight, ...command } }) => longwatch.node(params.node).weight(weight, command),
  }),
];

export const CLUSTER_ROUTES = [...reads, ...commands];
