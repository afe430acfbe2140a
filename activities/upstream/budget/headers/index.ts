/**
 * Reads what an answer tells of limits, in the formats that upstreams have, or by a function of the user's. Called for
 * each answer of an upstream that has limits; what comes out goes to the accounts (`account.ts`, `member.ts`) of the
 * buckets that it speaks of.
 */
import type { FormatName } from '../../../../workflows/upstream/options';
import type { AnswerHead, LimitReader, ToldLimit } from './answer';
import { esiErrors, esiGroup } from './esi';
import { github, rateLimit } from './github';
import { ietf } from './ietf';
import { shopifyGraphql, shopifyRest } from './shopify';

export { type AnswerHead, type LimitReader, type ToldLimit } from './answer';
export { isThrottled, shopifyCost, shopifyRest } from './shopify';

export const FORMATS = {
  'esi-group': esiGroup,
  'esi-errors': esiErrors,
  github,
  ietf,
  'shopify-rest': shopifyRest(),
  'shopify-graphql': shopifyGraphql,
  'x-ratelimit': rateLimit('x-ratelimit'),
  'x-rate-limit': rateLimit('x-rate-limit'),
} as const satisfies Record<FormatName, LimitReader>;

export type Format = FormatName;

/** The order in which formats are tried where nobody says one: the most telling first. */
const LIKELY: readonly Format[] = ['esi-group', 'ietf', 'shopify-rest', 'x-ratelimit', 'x-rate-limit', 'esi-errors'];

/**
 * `format`: a name, a function of the user's, or undefined: whichever finds something. Numbers that make no sense are
 * left out.
 */
export function readLimits(answer: AnswerHead, now: number, format?: Format | LimitReader): ToldLimit[] {
  if (typeof format === 'function') return format(answer, now).filter(isSound);
  if (format !== undefined) return FORMATS[format](answer, now).filter(isSound);
  for (const name of LIKELY) {
    const told = FORMATS[name](answer, now).filter(isSound);
    if (told.length > 0) return told;
  }
  return [];
}

/** A user's function may answer anything. */
function isSound(told: ToldLimit): boolean {
  const numbers = [told.limit, told.window, told.reset].every(
    (value) => value === undefined || (Number.isFinite(value) && value >= 0),
  );
  return numbers && Number.isFinite(told.remaining) && told.remaining >= 0 && told.limit !== 0 && told.window !== 0;
}
