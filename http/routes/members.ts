/** The members of a tracker: who is on it, what is known of one, adds and removals. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { pageQuery, text, Why } from '../schemas';
import { ErrorsShape, FailingShape, FreshnessShape, MemberSummaryShape, NextShape, OldestShape } from '../shapes/reads';
import { AliveShape, MemberDetailsShape, MemberShape, PlaceShape, Reconcile, Roster } from '../shapes/tracker';
import { all, listOf } from '../shapes/shape';

const tag = 'members';
const on = '/trackers/{tracker}/members';
/** As many as a body of 8 MB has room for. */
const MOST_IDS = 200_000;
const Ids = z.array(z.string()).min(1).max(MOST_IDS);
const wait = z.boolean().optional().openapi({ description: 'answer when the change is in the database' });

const Operation = text(200).optional().openapi({ description: 'only this one' });
const part = pageQuery(1_000, 100);

const reads = [
  route({
    method: 'get',
    path: on,
    id: 'listMembers',
    tag,
    summary: "Members in the order of their ids' bytes, also of those that begin with a text",
    query: z.object({ prefix: z.string().max(2_000).optional(), ...part }),
    answer: listOf(MemberSummaryShape),
    covers: ['TrackerHandle.members', 'TrackerHandle.everHadMembers'],
    run: ({ longwatch, params, query }) => longwatch.tracker(params.tracker).members(query),
  }),
  route({
    method: 'get',
    path: '/trackers/{tracker}/pools/{pool}/members',
    id: 'listMembersOfPool',
    tag,
    summary: 'Members of one pool in the order of their ids',
    query: z.object({ ...part }),
    answer: listOf(MemberShape),
    covers: ['TrackerHandle.list'],
    run: async ({ longwatch, params: { tracker, pool }, query }) => {
      const items = [];
      for await (const member of longwatch.tracker(tracker).list({ pool, ...query })) items.push(member);
      return { items, next: items.length === query.limit ? items.at(-1)!.id : null };
    },
  }),
  route({
    method: 'get',
    path: '/trackers/{tracker}/failing',
    id: 'listFailing',
    tag,
    summary: 'Operations of members that have failed since their last success',
    query: z.object({ operation: Operation, ...part }),
    answer: listOf(FailingShape),
    covers: ['TrackerHandle.failing'],
    run: ({ longwatch, params, query }) => longwatch.tracker(params.tracker).failing(query),
  }),
  route({
    method: 'get',
    path: '/trackers/{tracker}/errors',
    id: 'reportErrors',
    tag,
    summary: 'Errors of failing members, in groups that differ in more than numbers and ids; the most frequent first',
    query: z.object({ operation: Operation }),
    answer: ErrorsShape,
    covers: ['TrackerHandle.errors'],
    run: ({ longwatch, params, query }) => longwatch.tracker(params.tracker).errors(query),
  }),
  route({
    method: 'get',
    path: '/trackers/{tracker}/freshness',
    id: 'getFreshness',
    tag,
    summary: 'How old values are, by pool and operation',
    answer: FreshnessShape,
    covers: ['TrackerHandle.freshness'],
    run: ({ longwatch, params }) => longwatch.tracker(params.tracker).freshness(),
  }),
  route({
    method: 'get',
    path: '/trackers/{tracker}/oldest',
    id: 'listOldest',
    tag,
    summary: 'Members whose last success is long past, the oldest first',
    query: z.object({ operation: Operation, limit: part.limit }),
    answer: listOf(OldestShape),
    covers: ['TrackerHandle.oldest'],
    run: async ({ longwatch, params, query }) => all(await longwatch.tracker(params.tracker).oldest(query)),
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
    path: `${on}/{id}/next`,
    id: 'whenRunsMember',
    tag,
    summary: 'When each operation of a member runs next, and all that holds it back',
    answer: listOf(NextShape),
    covers: ['TrackerHandle.next'],
    run: async ({ longwatch, params }) => all(await longwatch.tracker(params.tracker).next(params.id)),
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

export const MEMBER_ROUTES = [...reads, ...commands];
