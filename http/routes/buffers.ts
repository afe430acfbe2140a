/** Buffers and their dead letters: what they are and what is done to them. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import { LAST_TIME } from '../../workflows/lib/time';
import { route } from '../route';
import { Command, flag, pageQuery, SetBody, text } from '../schemas';
import { BufferShape, DeadErrors, DeadOutcome, Letter, LetterDetails, Pushed } from '../shapes/buffer';
import { Commanded, Reconfigured, SettingShape, Started } from '../shapes/more';
import { all, AnyJson, listOf } from '../shapes/shape';
import { lettersBy } from './letters';

const tag = 'buffers';
const on = '/buffers/{buffer}';
/** Entries of one push. */
const MOST_ENTRIES = 100_000;

const { asked, Chosen } = lettersBy(
  { group: text(2_000, 0).optional().openapi({ description: 'only where the last error is one of this group' }) },
  '0-4711',
);
const Filter = Chosen.extend({
  note: text(2_000, 0).optional().openapi({ description: "for the letters' records" }),
});

const reads = [
  route({
    method: 'get',
    path: '/buffers',
    id: 'listBuffers',
    tag,
    summary: 'Every buffer, as its shards last reported',
    answer: listOf(BufferShape),
    covers: ['Longwatch.bufferNames'],
    run: async ({ longwatch }) => all((await longwatch.status()).buffers),
  }),
  route({
    method: 'get',
    path: on,
    id: 'getBuffer',
    tag,
    summary: 'Its counts, exact: asked of the shards themselves',
    answer: BufferShape,
    covers: ['BufferHandle.status'],
    run: ({ longwatch, params }) => longwatch.buffer(params.buffer).status(),
  }),
  route({
    method: 'get',
    path: `${on}/config`,
    id: 'getBufferConfig',
    tag,
    summary: 'Every option, its value and where that comes from',
    answer: listOf(SettingShape),
    covers: ['BufferHandle.config'],
    tagged: true,
    run: async ({ longwatch, params }) => all(await longwatch.buffer(params.buffer).config()),
  }),
  route({
    method: 'get',
    path: `${on}/dead`,
    id: 'listDeadLetters',
    tag,
    summary: 'Its dead letters, the oldest first',
    query: z.object({
      ...asked,
      all: flag.openapi({ description: 'also those that were retried or dropped' }),
      ...pageQuery(1_000, 100),
    }),
    answer: listOf(Letter),
    covers: ['DeadLetters.list', 'DeadLetters.page'],
    run: ({ longwatch, params, query }) => longwatch.buffer(params.buffer).dead.page(query),
  }),
  route({
    method: 'get',
    path: `${on}/dead/count`,
    id: 'countDeadLetters',
    tag,
    summary: 'How many dead letters there are of this filter',
    query: z.object(asked),
    answer: z.object({ count: z.number() }),
    covers: ['DeadLetters.count'],
    run: async ({ longwatch, params, query }) => ({ count: await longwatch.buffer(params.buffer).dead.count(query) }),
  }),
  route({
    method: 'get',
    path: `${on}/dead/errors`,
    id: 'groupDeadLetters',
    tag,
    summary: 'The errors of its dead letters, in groups that differ in more than numbers and ids',
    answer: DeadErrors,
    covers: ['DeadLetters.byError'],
    run: ({ longwatch, params }) => longwatch.buffer(params.buffer).dead.byError(),
  }),
  route({
    method: 'get',
    path: `${on}/dead/{letter}`,
    id: 'getDeadLetter',
    tag,
    summary: 'One dead letter with its errors',
    answer: LetterDetails,
    covers: ['DeadLetters.show'],
    run: ({ longwatch, params }) => longwatch.buffer(params.buffer).dead.show(params.letter),
  }),
];

const commands = [
  route({
    method: 'post',
    path: `${on}/push`,
    id: 'push',
    tag,
    summary: 'Gives entries to it, in their order; what is not accepted is an error',
    body: z.strictObject({
      entries: z.array(AnyJson).min(1).max(MOST_ENTRIES),
      front: z.boolean().optional().openapi({ description: 'before everything that was not pushed so' }),
      at: z
        .number()
        .min(0)
        .max(LAST_TIME)
        .optional()
        .openapi({ description: 'not before this time, epoch milliseconds' }),
      wait: z.boolean().optional().openapi({ description: "wait for the shard's own word" }),
      timeoutMs: z.number().int().min(1).max(60_000).optional().openapi({ description: 'how long to wait for room' }),
    }),
    answer: Pushed,
    covers: ['BufferHandle.push'],
    addsUp: true,
    run: ({ longwatch, params, body: { entries, ...options } }) =>
      longwatch.buffer(params.buffer).push(entries, options),
  }),
  route({
    method: 'post',
    path: `${on}/flush`,
    id: 'flush',
    tag,
    summary: 'Entries that wait for their batch to fill are run now',
    body: Command,
    answer: z.object({ shards: z.number() }),
    covers: ['BufferHandle.flush'],
    run: ({ longwatch, params, body }) => longwatch.buffer(params.buffer).flush(body),
  }),
  route({
    method: 'post',
    path: `${on}/start`,
    id: 'startBuffer',
    tag,
    summary: 'Starts one that was stopped, with the options that it had',
    body: Command,
    answer: Started,
    covers: ['BufferHandle.start'],
    run: ({ longwatch, params, body }) => longwatch.buffer(params.buffer).start(undefined, body),
  }),
  route({
    method: 'post',
    path: `${on}/stop`,
    id: 'stopBuffer',
    tag,
    summary: 'Batches that run end first; what is pending is kept for the next start',
    body: Command,
    answer: Commanded,
    covers: ['BufferHandle.stop'],
    run: ({ longwatch, params, body }) => longwatch.buffer(params.buffer).stop(body),
  }),
  route({
    method: 'post',
    path: `${on}/pause`,
    id: 'pauseBuffer',
    tag,
    summary: 'No batch is started until it is resumed; entries are still accepted',
    body: Command,
    answer: Commanded,
    covers: ['BufferHandle.pause'],
    run: ({ longwatch, params, body }) => longwatch.buffer(params.buffer).pause(body),
  }),
  route({
    method: 'post',
    path: `${on}/resume`,
    id: 'resumeBuffer',
    tag,
    summary: 'Goes on',
    body: Command,
    answer: Commanded,
    covers: ['BufferHandle.resume'],
    run: ({ longwatch, params, body }) => longwatch.buffer(params.buffer).resume(body),
  }),
  route({
    method: 'patch',
    path: `${on}/config`,
    id: 'setBufferConfig',
    tag,
    summary: 'Changes options while it runs; null takes a change back',
    body: SetBody,
    answer: Reconfigured,
    covers: ['BufferHandle.set'],
    run: ({ longwatch, params, onlyIf, body: { changes, why } }) =>
      longwatch.buffer(params.buffer).set(changes, { why, onlyIf }),
  }),
  route({
    method: 'post',
    path: `${on}/dead/retry`,
    id: 'retryDeadLetters',
    tag,
    summary: 'Pending again, at the back or the front; a dry run unless `apply` is set',
    body: Filter.extend({ front: z.boolean().optional() }),
    answer: DeadOutcome,
    covers: ['DeadLetters.retry'],
    run: ({ longwatch, params, body: { ids, error, group, olderThanMs, ...options } }) =>
      longwatch.buffer(params.buffer).dead.retry({ ids, error, group, olderThanMs }, options),
  }),
  route({
    method: 'post',
    path: `${on}/dead/drop`,
    id: 'dropDeadLetters',
    tag,
    summary: 'Counted as dropped; a dry run unless `apply` is set',
    role: 'admin',
    body: Filter,
    answer: DeadOutcome,
    covers: ['DeadLetters.drop'],
    run: ({ longwatch, params, body: { ids, error, group, olderThanMs, ...options } }) =>
      longwatch.buffer(params.buffer).dead.drop({ ids, error, group, olderThanMs }, options),
  }),
  route({
    method: 'post',
    path: `${on}/dead/restore`,
    id: 'restoreDeadLetters',
    tag,
    summary: 'Takes a drop back: the letters are entries again within half a minute; a dry run unless `apply` is set',
    body: Filter,
    answer: DeadOutcome,
    covers: ['DeadLetters.restore'],
    run: ({ longwatch, params, body: { ids, error, group, olderThanMs, ...options } }) =>
      longwatch.buffer(params.buffer).dead.restore({ ids, error, group, olderThanMs }, options),
  }),
];

export const BUFFER_ROUTES = [...reads, ...commands];
