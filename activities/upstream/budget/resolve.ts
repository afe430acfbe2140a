/**
 * From an upstream as a config resolves it to the limits that nodes spend by. Called when a worker starts, and again
 * when an option is changed while it runs.
 */
import { CALENDAR_PERIODS, type ResolvedUpstream } from '../../../config/resolve/upstream';
import type { CostContext, LimitDefinition } from '../../../config/define/upstream';
import type { LimitOptions, UpstreamOptionValues } from '../../../workflows/upstream/options';
import { windowStart } from './calendar';
import { FIGURES } from './figures';
import type { Format, LimitReader } from './headers';
import { limitOf, type Limit } from './limit';
import type { Answered, LimitedUpstream, UpstreamLimit } from './spender';

/** @param options as they are now; by default as the config has them */
export function limitedUpstream(upstream: ResolvedUpstream, options = upstream.options): LimitedUpstream {
  const limits = Object.entries(upstream.limits).map(([name, definition]): UpstreamLimit => {
    const values = options.limits[name]!;
    const { key, refuses } = definition;
    return {
      name,
      rule: ruleOf(values, definition, options),
      scope: upstream.onlyTracker !== undefined && isOfMembers(key) ? 'member' : 'shared',
      key: key === 'address' ? ({ address }) => address : key === 'member' ? ({ id }) => id : key,
      secret: definition.secret ?? false,
      // A place is free again with the answer: nothing of it is spent.
      cost: values.shape === 'concurrent' ? () => 0 : costBy(definition.cost),
      format: formatOf(definition, values),
      ...(refuses && { refuses: (answer: Answered) => refuses(new Context(answer)) }),
    };
  });
  // All that take from several take in one order.
  limits.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { name: upstream.name, limits, shares: { callFirst: options.callFirst, bulkLeast: options.bulkLeast } };
}

/**
 * Whether each member has a bucket of its own: the key holds its id as it is, and all else is the same for two members.
 * Nodes share the buckets of a key that is made in another way (a hash of the id).
 */
function isOfMembers(key: LimitDefinition['key']): boolean {
  if (typeof key !== 'function') return key === 'member';
  const keyFor = (id: string): string | undefined => {
    const request = { method: 'GET', path: '/' };
    try {
      return key({ id, address: 'an address', request, header: (name) => `the ${name}` });
    } catch {
      return undefined;
    }
  };
  const one = keyFor('member one');
  return one !== undefined && one.includes('member one') && one.replace('member one', 'another') === keyFor('another');
}

function ruleOf(values: LimitOptions, { from }: LimitDefinition, options: UpstreamOptionValues): Limit {
  const { tokens, windowMs, shape, greatestCost, closesAtEnd, others, maxHoldMs } = values;
  const period = windowMs === null ? undefined : CALENDAR_PERIODS[windowMs];
  return limitOf({
    shape,
    tokens: tokens ?? undefined,
    window: windowMs === null ? undefined : windowMs / 1_000,
    greatestCost: greatestCost ?? 1,
    headroom: values.headroom ?? options.headroom,
    closesAtEnd,
    others,
    late: FIGURES.late,
    ...(maxHoldMs !== null && { longestClosing: maxHoldMs / 1_000 }),
    ...(shape === 'calendar' && period && { windowStart: windowStart(period, from ?? 'UTC') }),
  });
}

/** Undefined: the greatest. */
function costBy(cost: LimitDefinition['cost'] = 1): (answer: Answered) => number | undefined {
  if (typeof cost === 'number') return () => cost;
  if (typeof cost === 'function') return (answer) => cost(new Context(answer));
  const table = new Map(Object.entries(cost));
  const costOf = (status: number): number | undefined =>
    table.get(String(status)) ?? table.get(`${Math.floor(status / 100)}xx`);
  // Asked for each answer, and there are no other statuses.
  const costs = Array.from({ length: 600 }, (_, status) => costOf(status));
  return ({ status }) => costs[status] ?? costOf(status);
}

function formatOf({ learn }: LimitDefinition, { tokens }: LimitOptions): Format | LimitReader | null | undefined {
  if (learn === undefined) return tokens === null ? undefined : null;
  if (learn === false) return null;
  if (learn === 'headers') return undefined;
  if (typeof learn !== 'function') return learn;
  return (answer) => {
    const told = learn(new Context(answer as Answered));
    return told ? [told] : [];
  };
}

/** An answer as functions of the user's are told of it. */
class Context implements CostContext {
  constructor(private readonly answer: Answered) {}

  get status(): number {
    return this.answer.status;
  }

  get request(): CostContext['request'] {
    return this.answer.request;
  }

  /** Stands by itself: most take it out of the context. Made only where it is asked for. */
  get header(): CostContext['header'] {
    return (name) => this.answer.header(name);
  }

  get body(): unknown {
    return this.answer.body;
  }
}
