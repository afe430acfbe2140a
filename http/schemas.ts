/**
 * The schemas that the API takes, and the form of its problems: each is the source of a type, of what is refused, and
 * of the document (`openapi.ts`). Its answers are in `shapes/`.
 */
import { z } from '@hono/zod-openapi';
import { SERIES_KINDS } from '../client/series';
import { unstorable } from '../workflows/lib/text';

/** A failure, in the words of the command line. */
export const Problem = z
  .object({
    error: z.object({
      code: z.string().openapi({
        example: 'UnknownTracker',
        description: "the name of the library's error, without 'Error'",
      }),
      message: z.string().openapi({ example: "there is no tracker 'caracters'; did you mean 'characters'?" }),
    }),
  })
  .openapi('Problem');

export type Problem = z.infer<typeof Problem>;

/** Text that PostgreSQL can be asked for. */
export const text = (most: number, least = 1) =>
  z
    .string()
    .min(least)
    .max(most)
    .superRefine((value, context) => {
      const fault = unstorable(value);
      if (fault !== undefined) context.addIssue({ code: 'custom', message: `it ${fault}` });
    });

/** The reason of a command, for the audit. */
export const Why = text(1_000, 0).optional().openapi({ description: 'the reason, for the audit' });

/** A command that needs no more than its reason. */
export const Command = z.strictObject({ why: Why }).openapi('Command');

/** How much of a list is answered at once. */
const limitOf = (most: number, usual: number) =>
  z.coerce
    .number()
    .int()
    .min(1)
    .max(most)
    .default(usual)
    .openapi({ description: `at most ${most}, ${usual} by default` });

/** The part of a list that is asked for. */
export const pageQuery = (most: number, usual: number) => ({
  // A name of some thousand bytes, twice encoded.
  after: text(12_000).optional().openapi({ description: 'what follows this: `next` of the page before' }),
  limit: limitOf(most, usual),
});

/** `true` or `false` in an address. */
export const flag = z
  .enum(['true', 'false'])
  .optional()
  .transform((value) => value === 'true');

/** A token that becomes a cookie. */
export const Login = z.strictObject({ token: z.string().max(500) });

/** A value of an option as a person writes it; null takes back what was set. */
const SettingChanges = z
  .record(text(200), z.union([text(2_000, 0), z.number(), z.boolean(), z.null()]))
  .refine((changes) => Object.keys(changes).length > 0, 'say at least one option')
  .openapi({ example: { 'operations.location.every': '500ms' } });

export const SetBody = z.strictObject({ changes: SettingChanges, why: Why }).openapi('Set');

const MOST_POOLS = 10_000_000;
/** In digits: JavaScript takes a blank for 0, and pool 0 would be crashed or moved. */
const Pool = z
  .string()
  .regex(/^\d{1,8}$/, 'it is the number of a pool')
  .transform(Number)
  .pipe(z.number().max(MOST_POOLS))
  .openapi({ type: 'integer', minimum: 0, maximum: MOST_POOLS });

/** Names in addresses: each has the same form wherever it stands. */
export const PARAMS = {
  name: text(200),
  tracker: text(200),
  buffer: text(200),
  job: text(200),
  node: text(300),
  upstream: text(200),
  id: text(2_000),
  letter: text(30).openapi({ example: '0-4711' }),
  pool: Pool,
  bucket: text(2_000).openapi({ example: 'esi/group:90000001' }),
  activity: text(300),
  key: text(3_000),
  task: text(2_000),
  kind: z.enum(SERIES_KINDS),
  thing: text(4_000).openapi({ example: 'characters/location' }),
} as const;

export type ParamName = keyof typeof PARAMS;
