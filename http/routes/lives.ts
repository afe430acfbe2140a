/**
 * Members that receive: their states, what waits for them, and their dead letters. Listed by `routes/all.ts`; messages
 * to them are sent by `mail.ts`.
 */
import { z } from '@hono/zod-openapi';
import { route } from '../route';
import { Command, pageQuery, text } from '../schemas';
import { MemberLetter, MemberLettersOutcome, MemberLifeDetailsShape, MemberLifeShape } from '../shapes/member';
import { listOf } from '../shapes/shape';
import { lettersBy } from './letters';

const tag = 'members';
const on = '/trackers/{tracker}';

const { asked, Chosen } = lettersBy(
  { member: text(2_000).optional().openapi({ description: 'only those of this member' }) },
  '4711',
);

const reads = [
  route({
    method: 'get',
    path: `${on}/lives`,
    id: 'listLives',
    tag,
    summary: 'Members that have a state, by their ids: what waits for each, and how many timers it has',
    query: z.object(pageQuery(1_000, 100)),
    answer: listOf(MemberLifeShape),
    covers: ['TrackerHandle.lives'],
    run: ({ longwatch, params, query }) => longwatch.tracker(params.tracker).lives(query),
  }),
  route({
    method: 'get',
    path: `${on}/members/{id}/life`,
    id: 'getLife',
    tag,
    summary: 'The state of a member, its mail and its timers',
    answer: MemberLifeDetailsShape,
    covers: ['MemberHandle.show'],
    run: ({ longwatch, params }) => longwatch.tracker(params.tracker).member(params.id).show(),
  }),
  route({
    method: 'get',
    path: `${on}/dead`,
    id: 'listDeadMessages',
    tag,
    summary: 'Messages on which the handler of a member has failed too often, the oldest first',
    query: z.object({ ...asked, ...pageQuery(1_000, 100) }),
    answer: listOf(MemberLetter),
    covers: ['MemberDeadLetters.list', 'MemberDeadLetters.page'],
    run: ({ longwatch, params, query }) => longwatch.tracker(params.tracker).dead.page(query),
  }),
  route({
    method: 'get',
    path: `${on}/dead/count`,
    id: 'countDeadMessages',
    tag,
    summary: 'How many dead letters there are of this filter',
    query: z.object(asked),
    answer: z.object({ count: z.number() }),
    covers: ['MemberDeadLetters.count'],
    run: async ({ longwatch, params, query }) => ({ count: await longwatch.tracker(params.tracker).dead.count(query) }),
  }),
  route({
    method: 'get',
    path: `${on}/dead/{letter}`,
    id: 'getDeadMessage',
    tag,
    summary: 'One dead letter of a member',
    answer: MemberLetter,
    covers: ['MemberDeadLetters.show'],
    run: ({ longwatch, params }) => longwatch.tracker(params.tracker).dead.show(params.letter),
  }),
];

const commands = [
  route({
    method: 'post',
    path: `${on}/members/{id}/reload`,
    id: 'reloadMember',
    tag,
    summary: 'Its node reads the state anew, with its next turn: for who has changed the row by hand',
    body: Command,
    answer: z.object({ version: z.number() }),
    covers: ['MemberHandle.reload'],
    run: ({ longwatch, params, body }) => longwatch.tracker(params.tracker).member(params.id).reload(body),
  }),
  route({
    method: 'post',
    path: `${on}/dead/retry`,
    id: 'retryDeadMessages',
    tag,
    summary: 'Mail again, behind what waits, with all of their attempts; a dry run unless `apply` is set',
    body: Chosen,
    answer: MemberLettersOutcome,
    covers: ['MemberDeadLetters.retry'],
    run: ({ longwatch, params, body: { apply, why, ...chosen } }) =>
      longwatch.tracker(params.tracker).dead.retry(chosen, { apply, why }),
  }),
  route({
    method: 'post',
    path: `${on}/dead/drop`,
    id: 'dropDeadMessages',
    tag,
    summary: 'Nothing is left of them; a dry run unless `apply` is set',
    role: 'admin',
    body: Chosen,
    answer: MemberLettersOutcome,
    covers: ['MemberDeadLetters.drop'],
    run: ({ longwatch, params, body: { apply, why, ...chosen } }) =>
      longwatch.tracker(params.tracker).dead.drop(chosen, { apply, why }),
  }),
];

export const LIFE_ROUTES = [...reads, ...commands];
