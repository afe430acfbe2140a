/** Buffers and their dead letters as the API tells them: what `client/buffer` answers. For `routes/`. */
import { z } from '@hono/zod-openapi';
import type { DeadDetails, DeadEntry, DeadResult } from '../../client/buffer/dead';
import type { DeadReport } from '../../client/buffer/dead-groups';
import type { PushResult } from '../../client/buffer/push';
import type { BufferSummary } from '../../client/buffer/status';
import type { ShardStatus } from '../../workflows/buffer/contract';
import { AnyJson, shapeOf, Time } from './shape';
import { State } from './tracker';

/** accepted = done + pending + running + dead + merged + dropped. */
const counts = {
  accepted: z.number(),
  done: z.number(),
  pending: z.number(),
  running: z.number(),
  dead: z.number(),
  merged: z.number(),
  dropped: z.number(),
};

const queues = {
  inMemory: z.number(),
  stored: z.number(),
  putOff: z.number(),
  batches: z.number(),
  spilling: z.boolean(),
  lastError: z.string().nullable(),
};

const Shard = shapeOf<ShardStatus>()(
  z
    .object({
      buffer: z.string(),
      shard: z.number(),
      state: z.enum(['running', 'paused', 'held', 'stopped']),
      ...counts,
      ...queues,
      bytes: z.number(),
      shrunk: z.boolean(),
      atMinimum: z.boolean(),
      learnedSize: z.number().nullable(),
      failuresInRow: z.number(),
      userState: AnyJson,
      stateVersion: z.number(),
      runs: z.number(),
    })
    .openapi('Shard'),
);

export const BufferShape = shapeOf<BufferSummary>()(
  z
    .object({
      name: z.string(),
      state: State,
      ...counts,
      ...queues,
      balanced: z.boolean().openapi({ description: 'accepted = done + pending + running + dead + merged + dropped' }),
      shrunk: z.number(),
      ageMs: z.number().openapi({ description: 'how old the counts are; 0: of this moment' }),
      shards: z.array(Shard),
    })
    .openapi('Buffer'),
);

export const Pushed = shapeOf<PushResult>()(z.object({ accepted: z.number(), messages: z.number() }).openapi('Pushed'));

const letter = {
  id: z.string().openapi({ example: '0-4711' }),
  value: AnyJson,
  key: z.string().nullable(),
  error: z.string(),
  attempts: z.number(),
  diedAt: Time,
  state: z.enum(['dead', 'retrying', 'retried', 'dropping', 'dropped']),
};

export const Letter = shapeOf<DeadEntry>()(z.object(letter).openapi('DeadLetter'));

export const LetterDetails = shapeOf<DeadDetails>()(
  z
    .object({
      ...letter,
      errors: z.array(z.object({ at: z.number(), error: z.string() })),
      op: z.string().nullable(),
      note: z.string().nullable(),
      changedAt: Time,
    })
    .openapi('DeadLetterDetails'),
);

export const DeadErrors = shapeOf<DeadReport>()(
  z
    .object({
      groups: z.array(
        z.object({
          text: z.string().openapi({ description: 'the error without what differs; `group` chooses these letters' }),
          letters: z.number(),
          example: z.object({ id: z.string(), error: z.string() }),
          firstDiedAt: Time,
          lastDiedAt: Time,
        }),
      ),
      looked: z.number(),
      complete: z.boolean(),
    })
    .openapi('DeadErrors'),
);

export const DeadOutcome = shapeOf<DeadResult>()(
  z
    .object({
      chosen: z.number(),
      applied: z.boolean().openapi({ description: 'false: it was a dry run' }),
      op: z.string().nullable(),
    })
    .openapi('DeadOutcome'),
);
