/** Durable activities: leases, keys, compensations that failed. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { Command, pageQuery, text, Why } from '../schemas';
import { Compensation, Key, KeyListed, Lease } from '../shapes/more';
import { listOf } from '../shapes/shape';

const tag = 'activities';
const key = '/activities/{activity}/keys/{key}';

export const DURABLE_ROUTES = [
  route({
    method: 'get',
    path: '/leases',
    id: 'listLeases',
    tag,
    summary: 'Leases that are held, in the order of their tasks',
    query: z.object(pageQuery(1_000, 100)),
    answer: listOf(Lease),
    covers: ['DurableHandle.leases', 'DurableHandle.leasesPage'],
    run: ({ longwatch, query }) => longwatch.durable.leasesPage(query),
  }),
  route({
    method: 'get',
    path: '/activities/{activity}/keys',
    id: 'listKeys',
    tag,
    summary: 'The idempotency keys of an activity, in an order that stays and says nothing',
    query: z.object(pageQuery(1_000, 100)),
    answer: listOf(KeyListed),
    covers: ['DurableHandle.keysPage'],
    run: ({ longwatch, params, query }) => longwatch.durable.keysPage(params.activity, query),
  }),
  route({
    method: 'get',
    path: key,
    id: 'getKey',
    tag,
    summary: 'What an idempotency key has stored',
    answer: Key,
    covers: ['DurableHandle.key'],
    run: ({ longwatch, params }) => longwatch.durable.key(params.activity, params.key),
  }),
  route({
    method: 'delete',
    path: key,
    id: 'deleteKey',
    tag,
    summary: 'The next caller of the key runs the activity again',
    role: 'admin',
    body: Command,
    answer: z.object({ deleted: z.literal(true) }),
    covers: ['DurableHandle.deleteKey'],
    run: async ({ longwatch, params, body }) => {
      await longwatch.durable.deleteKey(params.activity, params.key, body);
      return { deleted: true } as const;
    },
  }),
  route({
    method: 'get',
    path: '/compensations',
    id: 'listCompensations',
    tag,
    summary: 'Compensations that failed for good, and those that are tried again by hand; the oldest first',
    query: z.object(pageQuery(1_000, 100)),
    answer: listOf(Compensation),
    covers: ['DurableHandle.brokenCompensations', 'DurableHandle.brokenCompensationsPage'],
    run: ({ longwatch, query }) => longwatch.durable.brokenCompensationsPage(query),
  }),
  route({
    method: 'post',
    path: '/compensations/{task}/retry',
    id: 'retryCompensation',
    tag,
    summary: 'Gives a broken compensation its attempts back and runs it',
    body: Command,
    answer: z.object({ workflow: z.string() }),
    covers: ['DurableHandle.retryCompensation'],
    run: ({ longwatch, params, body }) => longwatch.durable.retryCompensation(params.task, body),
  }),
  route({
    method: 'post',
    path: '/compensations/{task}/resolve',
    id: 'resolveCompensation',
    tag,
    summary: 'Says that it was done by hand: it will not run again',
    role: 'admin',
    body: z.strictObject({ note: text(2_000, 0), why: Why }),
    answer: z.object({ resolved: z.literal(true) }),
    covers: ['DurableHandle.resolveCompensation'],
    run: async ({ longwatch, params, body: { note, ...command } }) => {
      await longwatch.durable.resolveCompensation(params.task, note, command);
      return { resolved: true } as const;
    },
  }),
];
