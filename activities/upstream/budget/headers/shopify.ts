/**
 * Shopify's leaky buckets. REST tells `X-Shopify-Shop-Api-Call-Limit: 32/40` (used/size;
 * https://shopify.dev/docs/api/admin-rest/usage/rate-limits) and not how fast it leaks: that is the plan's, 2 a second
 * for the standard one. GraphQL tells all of it in the body, and refuses with a 200
 * (https://shopify.dev/docs/api/usage/limits).
 */
import { amount, limitTokens, type AnswerHead, type LimitReader } from './answer';

/** @param leaks tokens a second of the shop's plan */
export function shopifyRest(leaks = 2): LimitReader {
  return (answer) => {
    const [usedText, sizeText] = (answer.header('x-shopify-shop-api-call-limit') ?? '').split('/');
    const used = amount(usedText);
    const limit = limitTokens(amount(sizeText));
    if (used === undefined || limit === undefined) return [];
    return [{ remaining: Math.max(0, limit - used), limit, window: limit / leaks }];
  };
}

export const shopifyGraphql: LimitReader = ({ body }) => {
  const status = fieldsOf(fieldsOf(fieldsOf(fieldsOf(body).extensions).cost).throttleStatus);
  const limit = limitTokens(positive(status.maximumAvailable));
  const remaining = positive(status.currentlyAvailable);
  const leaks = positive(status.restoreRate);
  if (remaining === undefined) return [];
  return [{ remaining, limit, window: limit !== undefined && leaks ? limit / leaks : undefined }];
};

/** The cost of a query: the true one, else the estimate; undefined: it does not say. */
export function shopifyCost({ body }: Pick<AnswerHead, 'body'>): number | undefined {
  const cost = fieldsOf(fieldsOf(fieldsOf(body).extensions).cost);
  if (isThrottled(body)) return 0;
  return positive(cost.actualQueryCost) ?? positive(cost.requestedQueryCost);
}

/** A refusal that comes as a 200. */
export function isThrottled(body: unknown): boolean {
  const { errors } = fieldsOf(body);
  return Array.isArray(errors) && errors.some((error) => fieldsOf(fieldsOf(error).extensions).code === 'THROTTLED');
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}
