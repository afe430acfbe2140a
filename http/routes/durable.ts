/** Durable activities: leases, keys, compensations that failed. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { Command, limitOf, text, Why } from '../schemas';
import { Compensation, Key, Lease } from '../shapes/more';
import { all, listOf } from '../shapes/shape';

const tag = 'activities';
const key = '/activities/{activity}/keys/{key}';

export const DURABLE_ROUTES = [
  route({
    method: 'get',
    path: '/leases',
    id: 'listLeases',
    tag,
    summary: 'Leases that are held, the one that runs out next first',
    query: z.object({ limit: limitOf(1_000, 100) }),
    answer: listOf(Lease),
    covers: ['DurableHandle.leases'],
    run: async ({ longwatch, query }) => all(await longwatch.durable.leases(query.limit)),
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
    summary: 'Compensations that failed for good, and those that are tried again by hand',
    query: z.object({ limit: limitOf(1_000, 100) }),
    answer: listOf(Compensation),
    covers: ['DurableHandle.brokenCompensations'],
    run: async ({ longwatch, query }) => all(await longwatch.durable.brokenCompensations(query.limit)),
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
