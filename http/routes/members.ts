/** The members of a tracker: who is on it, what is known of one, adds and removals. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { limitOf, PARAMS, text, Why } from '../schemas';
import { AliveShape, MemberDetailsShape, MemberShape, PlaceShape, Reconcile, Roster } from '../shapes/tracker';
import { listOf } from '../shapes/shape';
import type { Longwatch } from '../../client/longwatch';

const tag = 'members';
const on = '/trackers/{tracker}/members';
/** As many as a body of 8 MB has room for. */
const MOST_IDS = 200_000;
const Ids = z.array(z.string()).min(1).max(MOST_IDS);
const wait = z.boolean().optional().openapi({ description: 'answer when the change is in the database' });

const Page = z.object({
  after: text(2_000).optional().openapi({ description: 'only ids after this one: `next` of the page before' }),
  pool: PARAMS.pool.optional(),
  limit: limitOf(1_000, 100),
});

const reads = [
  route({
    method: 'get',
    path: on,
    id: 'listMembers',
    tag,
    summary: 'Members in the order of their ids',
    query: Page,
    answer: listOf(MemberShape),
    covers: ['TrackerHandle.list', 'TrackerHandle.everHadMembers'],
    run: ({ longwatch, params, query }) => pageOf(longwatch, params.tracker, query),
  }),
  route({
    method: 'get',
    path: `${on}/{id}`,
    id: 'getMember',
    tag,
    summary: 'One member and all that is known of it',
    answer: MemberDetailsShape,
    covers: ['TrackerHandle.show'],
    run: ({ longwatch, params }) => longwatch.tracker(params.tracker).show(params.id),
  }),
  route({
    method: 'get',
    path: `${on}/{id}/where`,
    id: 'whereIsMember',
    tag,
    summary: 'The pool and the node that keep an id at this moment',
    answer: PlaceShape,
    covers: ['TrackerHandle.where'],
    run: ({ longwatch, params }) => longwatch.tracker(params.tracker).where(params.id),
  }),
  route({
    method: 'get',
    path: `${on}/{id}/alive`,
    id: 'isMemberAlive',
    tag,
    summary: 'Whether a live node keeps an id, and how old its last sign is',
    answer: AliveShape,
    covers: ['TrackerHandle.alive'],
    run: ({ longwatch, params }) => longwatch.tracker(params.tracker).alive(params.id),
  }),
];

const commands = [
  route({
    method: 'post',
    path: on,
    id: 'addMembers',
    tag,
    summary: 'Tracks ids; answers when Temporal has them durably',
    body: z.strictObject({ ids: Ids, wait }),
    answer: Roster,
    covers: ['TrackerHandle.add'],
    run: ({ longwatch, params, body: { ids, wait: waits } }) =>
      longwatch.tracker(params.tracker).add(ids, { wait: waits }),
  }),
  route({
    method: 'post',
    path: `${on}/remove`,
    id: 'removeMembers',
    tag,
    summary: 'Stops tracking ids and forgets their values',
    body: z.strictObject({ ids: Ids, wait }),
    answer: Roster,
    covers: ['TrackerHandle.remove'],
    run: ({ longwatch, params, body: { ids, wait: waits } }) =>
      longwatch.tracker(params.tracker).remove(ids, { wait: waits }),
  }),
  route({
    method: 'post',
    path: `${on}/reconcile`,
    id: 'reconcileMembers',
    tag,
    summary: 'Compares a list with what is tracked; with `apply`, adds what is missing and removes what is too much',
    body: z.strictObject({ ids: z.array(z.string()).max(MOST_IDS), apply: z.boolean().optional(), wait, why: Why }),
    answer: Reconcile,
    covers: ['TrackerHandle.reconcile'],
    run: ({ longwatch, params, body: { ids, ...options } }) =>
      longwatch.tracker(params.tracker).reconcile(ids, options),
  }),
];

async function pageOf(longwatch: Longwatch, name: string, { after, pool, limit }: z.output<typeof Page>) {
  const items = [];
  for await (const member of longwatch.tracker(name).list({ after, pool, limit })) items.push(member);
  return { items, next: items.length === limit ? items.at(-1)!.id : null };
}

export const MEMBER_ROUTES = [...reads, ...commands];
