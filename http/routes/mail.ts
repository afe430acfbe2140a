/** The addresses by which messages and requests are sent to members. Listed by `routes/all.ts`. */
import { z } from '@hono/zod-openapi';
import type { Json } from '../../workflows/lib/json';
import { route } from '../route';
import { text } from '../schemas';
import { AnyJson } from '../shapes/shape';

const tag = 'members';
const on = '/trackers/{tracker}/members/{id}';

const message = {
  message: AnyJson,
  requestId: text(200).optional().openapi({ description: "the caller's own id: it stands in the handler's logs" }),
  traceparent: text(100).optional(),
};
const timeout = (description: string) =>
  z
    .union([z.string().max(50), z.number().positive()])
    .optional()
    .openapi({ description, example: '5s' });

export const MAIL_ROUTES = [
  route({
    method: 'post',
    path: `${on}/send`,
    id: 'sendToMember',
    tag,
    summary: 'A message to a member; answers when it is stored: it will be handled once, in the order of these calls',
    body: z.strictObject({
      ...message,
      replyTo: z
        .union([text(2_000), z.strictObject({ tracker: text(200), id: text(2_000) })])
        .optional()
        .openapi({
          description: "the handler's reply goes there as a message: a member of the same tracker, or of any",
        }),
      timeout: timeout('how long to wait for room in the mailbox'),
    }),
    answer: z.object({ stored: z.literal(true) }),
    covers: ['MemberHandle.send'],
    addsUp: true,
    run: async ({ longwatch, params, signal, body: { message: said, ...options } }) => {
      await longwatch
        .tracker(params.tracker)
        .member(params.id)
        .send(said, { ...options, signal });
      return { stored: true } as const;
    },
  }),
  route({
    method: 'post',
    path: `${on}/request`,
    id: 'requestOfMember',
    tag,
    summary: 'As `send`; answers with what the handler replies, when its turn is committed',
    body: z.strictObject({ ...message, timeout: timeout('how long to wait for the reply') }),
    answer: z.object({ reply: AnyJson }),
    covers: ['MemberHandle.request'],
    addsUp: true,
    run: async ({ longwatch, params, signal, body: { message: said, ...options } }) => {
      const member = longwatch.tracker(params.tracker).member(params.id);
      return { reply: (await member.request(said, { ...options, signal })) as Json };
    },
  }),
];
