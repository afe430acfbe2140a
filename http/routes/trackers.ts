/** Trackers as a whole: what they are, their pools and holds, and what is done to them. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { Started, Commanded, Reconfigured, SettingShape } from '../shapes/more';
import { MoveOutcome } from '../shapes/cluster';
import { Count, Hold, Pool, Refetch, Tracker } from '../shapes/tracker';
import { Command, pageQuery, SetBody, text, Why } from '../schemas';
import { all, listOf } from '../shapes/shape';

const tag = 'trackers';
const on = '/trackers/{tracker}';
const Operation = text(200).optional().openapi({ description: 'only this one' });

const reads = [
  route({
    method: 'get',
    path: '/trackers',
    id: 'listTrackers',
    tag,
    summary: 'Every tracker with its operations',
    answer: listOf(Tracker),
    covers: ['Longwatch.trackers'],
    run: async ({ longwatch }) => all((await longwatch.status()).trackers),
  }),
  route({
    method: 'get',
    path: on,
    id: 'getTracker',
    tag,
    summary: 'One tracker with its operations',
    answer: Tracker,
    covers: ['TrackerHandle.status'],
    run: ({ longwatch, params }) => longwatch.tracker(params.tracker).status(),
  }),
  route({
    method: 'get',
    path: `${on}/pools`,
    id: 'listPools',
    tag,
    summary: 'Its pools: members, keeper, crashes',
    query: z.object(pageQuery(1_000, 1_000)),
    answer: listOf(Pool),
    covers: ['TrackerHandle.pools', 'TrackerHandle.poolsPage'],
    run: ({ longwatch, params, query }) => longwatch.tracker(params.tracker).poolsPage(query),
  }),
  route({
    method: 'get',
    path: `${on}/count`,
    id: 'countMembers',
    tag,
    summary: 'How many ids it has, and how many of them live nodes keep right now',
    answer: Count,
    covers: ['TrackerHandle.count'],
    run: ({ longwatch, params }) => longwatch.tracker(params.tracker).count(),
  }),
  route({
    method: 'get',
    path: `${on}/holds`,
    id: 'listHoldsOfTracker',
    tag,
    summary: 'Holds that upstreams have asked for, the longest first',
    answer: listOf(Hold),
    covers: ['TrackerHandle.holds'],
    run: async ({ longwatch, params }) => all(await longwatch.tracker(params.tracker).holds()),
  }),
  route({
    method: 'get',
    path: `${on}/config`,
    id: 'getTrackerConfig',
    tag,
    summary: 'Every option, its value and where that comes from',
    answer: listOf(SettingShape),
    covers: ['TrackerHandle.config', 'TrackerHandle.options'],
    tagged: true,
    run: async ({ longwatch, params }) => all(await longwatch.tracker(params.tracker).config()),
  }),
];

const commands = [
  route({
    method: 'post',
    path: `${on}/start`,
    id: 'startTracker',
    tag,
    summary: 'Starts one that was stopped, with the options that it had',
    body: Command,
    answer: Started,
    covers: ['TrackerHandle.start'],
    run: ({ longwatch, params, body }) => longwatch.tracker(params.tracker).start(undefined, body),
  }),
  route({
    method: 'post',
    path: `${on}/stop`,
    id: 'stopTracker',
    tag,
    summary: 'Ends every shift; members and values stay',
    body: Command,
    answer: Commanded,
    covers: ['TrackerHandle.stop'],
    run: ({ longwatch, params, body }) => longwatch.tracker(params.tracker).stop(body),
  }),
  route({
    method: 'post',
    path: `${on}/pause`,
    id: 'pauseTracker',
    tag,
    summary: 'Nothing is fetched until it is resumed; adds and removals are still taken',
    body: Command,
    answer: Commanded,
    covers: ['TrackerHandle.pause'],
    run: ({ longwatch, params, body }) => longwatch.tracker(params.tracker).pause(body),
  }),
  route({
    method: 'post',
    path: `${on}/resume`,
    id: 'resumeTracker',
    tag,
    summary: 'Goes on, and takes pools out of quarantine',
    body: Command,
    answer: Commanded,
    covers: ['TrackerHandle.resume'],
    run: ({ longwatch, params, body }) => longwatch.tracker(params.tracker).resume(body),
  }),
  route({
    method: 'patch',
    path: `${on}/config`,
    id: 'setTrackerConfig',
    tag,
    summary: 'Changes options while it runs; null takes a change back',
    body: SetBody,
    answer: Reconfigured,
    covers: ['TrackerHandle.set'],
    run: ({ longwatch, params, onlyIf, body: { changes, why } }) =>
      longwatch.tracker(params.tracker).set(changes, { why, onlyIf }),
  }),
  route({
    method: 'post',
    path: `${on}/holds/open`,
    id: 'openHolds',
    tag,
    summary: 'Lifts the holds of an operation, or all of them; answers those that were in force',
    body: z.strictObject({ operation: Operation, why: Why }),
    answer: listOf(Hold),
    covers: ['TrackerHandle.openHolds'],
    run: async ({ longwatch, params, body: { operation, ...command } }) =>
      all(await longwatch.tracker(params.tracker).openHolds(operation, command)),
  }),
  route({
    method: 'post',
    path: `${on}/refetch`,
    id: 'refetch',
    tag,
    summary: 'Forgets ETags and expiries, so that these members (without ids: all) are asked anew within a second',
    body: z.strictObject({ ids: z.array(z.string()).max(10_000).optional(), operation: Operation, why: Why }),
    answer: Refetch,
    covers: ['TrackerHandle.refetch'],
    run: ({ longwatch, params, body: { ids, ...options } }) => longwatch.tracker(params.tracker).refetch(ids, options),
  }),
  route({
    method: 'post',
    path: `${on}/pools/{pool}/move`,
    id: 'movePool',
    tag,
    summary: 'Its pool goes to that node; answers when the node has taken it',
    body: z.strictObject({ to: text(300), why: Why }),
    answer: MoveOutcome,
    covers: ['TrackerHandle.move'],
    run: ({ longwatch, params, body }) => longwatch.tracker(params.tracker).move(params.pool, body),
  }),
  route({
    method: 'post',
    path: `${on}/pools/{pool}/crash`,
    id: 'crashPool',
    tag,
    summary: 'For practice: the shift of this pool fails as if by a bug, and is started again',
    role: 'admin',
    body: Command,
    answer: z.object({ asked: z.literal(true) }),
    covers: ['TrackerHandle.crash'],
    run: async ({ longwatch, params, body }) => {
      await longwatch.tracker(params.tracker).crash(params.pool, body);
      return { asked: true } as const;
    },
  }),
];

export const TRACKER_ROUTES = [...reads, ...commands];
