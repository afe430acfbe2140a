/**
 * The IETF's draft (draft-ietf-httpapi-ratelimit-headers): `RateLimit: "hour";r=12;t=40` with `RateLimit-Policy:
 * "hour";q=100;w=3600`, as structured fields (RFC 9651); the form of draft 7, `RateLimit: limit=100, remaining=12,
 * reset=40`; and the three fields of the drafts before, `RateLimit-Limit: 100, 100;w=60`, `-Remaining`, `-Reset`.
 */
import { parseDictionary, parseList, Token } from 'structured-headers';
import { amount, limitTokens, secondsUntil, type LimitReader, type ToldLimit } from './answer';

/** A policy counts requests by default; those of bytes and of requests at once are left out. */
const REQUESTS = 'requests';

export const ietf: LimitReader = (answer, now) => {
  const policies = policiesOf(answer.header('ratelimit-policy'));
  const field = answer.header('ratelimit');
  if (field !== undefined) return namedLimits(field, policies) ?? draftSeven(field, policies);
  const remaining = amount(answer.header('ratelimit-remaining'));
  if (remaining === undefined) return [];
  const [first, ...rest] = itemsOf(answer.header('ratelimit-limit'));
  const policy = rest.length > 0 ? rest[0] : ([...policies.values()][0] ?? first);
  const limit = limitTokens(first?.quota ?? policy?.quota);
  return [
    { remaining, limit, window: policy?.window, reset: secondsUntil(answer.header('ratelimit-reset'), answer, now) },
  ];
};

interface Policy {
  quota: number | undefined;
  window: number | undefined;
  counts: string;
}

/** `"burst";q=100;w=60, "day";q=1000;w=86400`, or of old `100;w=60`. */
function policiesOf(text: string | undefined): Map<string, Policy> {
  const policies = new Map<string, Policy>();
  for (const item of itemsOf(text)) policies.set(item.name, item);
  return policies;
}

function itemsOf(text: string | undefined): (Policy & { name: string; params: Map<string, unknown> })[] {
  const list = tried(() => parseList(text ?? '')) ?? [];
  return list.map(([value, parameters]) => {
    const params = parameters as Map<string, unknown>;
    return {
      name: typeof value === 'string' || value instanceof Token ? value.toString() : String(Number(value)),
      quota: whole(params.get('q')) ?? whole(value),
      window: whole(params.get('w')) || undefined,
      counts: typeof params.get('qu') === 'string' ? (params.get('qu') as string) : REQUESTS,
      params,
    };
  });
}

function namedLimits(field: string, policies: Map<string, Policy>): ToldLimit[] | undefined {
  const told: ToldLimit[] = [];
  for (const { name, params } of itemsOf(field)) {
    const remaining = whole(params.get('r'));
    if (remaining === undefined) continue;
    const policy = policies.get(name);
    if (policy && policy.counts !== REQUESTS) continue;
    told.push({
      name,
      remaining,
      limit: limitTokens(policy?.quota),
      window: policy?.window,
      reset: whole(params.get('t')),
    });
  }
  return told.length > 0 ? told : undefined;
}

function draftSeven(field: string, policies: Map<string, Policy>): ToldLimit[] {
  const fields = tried(() => parseDictionary(field));
  const value = (name: string): number | undefined => whole(fields?.get(name)?.[0]);
  const remaining = value('remaining');
  if (remaining === undefined) return [];
  const window = [...policies.values()].find(({ quota }) => quota === value('limit'))?.window;
  return [{ remaining, limit: limitTokens(value('limit')), window, reset: value('reset') }];
}

function whole(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** A field that is malformed is to be ignored as a whole (RFC 9651, 4.2). */
function tried<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
