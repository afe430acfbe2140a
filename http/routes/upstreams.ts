/** Upstreams: their options, what is left of their limits, what is closed. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { pageQuery, SetBody, text, Why } from '../schemas';
import { Bucket, ClosedLimitShape, MemberBucketShape, SettingShape } from '../shapes/more';
import { all, listOf } from '../shapes/shape';

const tag = 'upstreams';
const on = '/upstreams/{upstream}';
/** As the library's own. */
const LONGEST_CLOSING_MS = 366 * 86_400_000;
const Which = text(2_000).openapi({
  description: 'one bucket, or `esi/errors` for all keys of a limit',
  example: 'esi/group:90000001',
});

export const UPSTREAM_ROUTES = [
  route({
    method: 'get',
    path: '/upstreams',
    id: 'listUpstreams',
    tag,
    summary: 'Names of all upstreams with limits',
    answer: listOf(z.string()),
    covers: ['Longwatch.upstreams'],
    run: async ({ longwatch }) => all(await longwatch.upstreams()),
  }),
  route({
    method: 'get',
    path: `${on}/config`,
    id: 'getUpstreamConfig',
    tag,
    summary: 'Every option that can be set, its value now and where it comes from',
    answer: listOf(SettingShape),
    covers: ['UpstreamHandle.config'],
    tagged: true,
    run: async ({ longwatch, params }) => all(await longwatch.upstream(params.upstream).config()),
  }),
  route({
    method: 'patch',
    path: `${on}/config`,
    id: 'setUpstreamConfig',
    tag,
    summary: 'Changes options on all nodes within a second or two; null takes a change back',
    body: SetBody,
    answer: z.object({ upstream: z.string(), changed: z.boolean() }),
    covers: ['UpstreamHandle.set'],
    run: ({ longwatch, params, onlyIf, body: { changes, why } }) =>
      longwatch.upstream(params.upstream).set(changes, { why, onlyIf }),
  }),
  route({
    method: 'get',
    path: '/buckets',
    id: 'listBuckets',
    tag,
    summary: 'What each bucket (a limit for one key) has left, who spends from it, what is closed and why',
    query: z.object({
      upstream: text(200).optional(),
      limitName: text(200).optional(),
      key: text(2_000).optional(),
      ...pageQuery(1_000, 100),
    }),
    answer: listOf(Bucket),
    covers: ['BudgetHandle.list'],
    run: async ({ longwatch, query: { limit, limitName, ...which } }) => {
      const items = await longwatch.budget.list({ ...which, limit: limitName, most: limit });
      return { items, next: items.length === limit ? items.at(-1)!.bucket : null };
    },
  }),
  route({
    method: 'get',
    path: '/buckets/{bucket}',
    id: 'getBucket',
    tag,
    summary: 'One bucket',
    answer: Bucket,
    covers: ['BudgetHandle.show'],
    run: ({ longwatch, params }) => longwatch.budget.show(params.bucket),
  }),
  route({
    method: 'get',
    path: '/limits/closed',
    id: 'listClosedLimits',
    tag,
    summary: 'Limits that somebody closed for all of their keys, those that come later too',
    query: z.object({ upstream: text(200).optional() }),
    answer: listOf(ClosedLimitShape),
    covers: ['BudgetHandle.closedLimits'],
    run: async ({ longwatch, query: { upstream } }) => all(await longwatch.budget.closedLimits(upstream)),
  }),
  route({
    method: 'get',
    path: '/limits/of-member/{id}',
    id: 'listBucketsOfMember',
    tag,
    summary: 'The buckets that are a member’s own: only the shift that keeps it spends from them',
    query: z.object({ upstream: text(200).optional() }),
    answer: listOf(MemberBucketShape),
    covers: ['BudgetHandle.ofMember'],
    run: async ({ longwatch, params: { id }, query: { upstream } }) =>
      all(await longwatch.budget.ofMember(id, upstream)),
  }),
  route({
    method: 'post',
    path: '/buckets/close',
    id: 'closeBuckets',
    tag,
    summary: 'No node sends for these buckets for so long, whatever the upstream says meanwhile',
    body: z.strictObject({ bucket: Which, forMs: z.number().int().positive().max(LONGEST_CLOSING_MS), why: Why }),
    answer: listOf(Bucket),
    covers: ['BudgetHandle.close'],
    run: async ({ longwatch, body: { bucket, forMs, ...command } }) =>
      all(await longwatch.budget.close(bucket, forMs, command)),
  }),
  route({
    method: 'post',
    path: '/buckets/open',
    id: 'openBuckets',
    tag,
    summary: 'They may be spent from again',
    body: z.strictObject({ bucket: Which, why: Why }),
    answer: listOf(Bucket),
    covers: ['BudgetHandle.open'],
    run: async ({ longwatch, body: { bucket, ...command } }) => all(await longwatch.budget.open(bucket, command)),
  }),
];
