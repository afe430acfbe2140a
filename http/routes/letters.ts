/**
 * Dead letters as the API is asked for them: of buffers (`buffers.ts`) and of members that receive (`lives.ts`). They
 * are chosen by the same filter, in an address or in a body, and what is done to them is a dry run first.
 */
import { z } from '@hono/zod-openapi';
import { text, Why } from '../schemas';

const MOST_LETTERS = 10_000;
/** Three centuries. */
const OLDEST_MS = 1e13;

/**
 * @param own what else letters of this kind are chosen by
 * @param example an id of one of them
 */
export function lettersBy<Own extends z.ZodRawShape>(own: Own, example: string) {
  const filter = {
    ...own,
    error: text(2_000, 0).optional().openapi({ description: 'only where the last error contains this text' }),
  };
  const olderThan = { description: 'only those that died so long ago' };
  return {
    /** As it stands in an address, where all is text. */
    asked: { ...filter, olderThanMs: z.coerce.number().int().min(0).max(OLDEST_MS).optional().openapi(olderThan) },
    /** As the body of what is done to them. */
    Chosen: z.strictObject({
      ...filter,
      olderThanMs: z.number().int().min(0).max(OLDEST_MS).optional().openapi(olderThan),
      ids: z
        .array(text(30))
        .max(MOST_LETTERS)
        .optional()
        .openapi({ example: [example] }),
      apply: z.boolean().optional().openapi({ description: 'without it, it is a dry run: it is only counted' }),
      why: Why,
    }),
  };
}
