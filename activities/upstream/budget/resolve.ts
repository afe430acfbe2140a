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
    const { key } = definition;
    return {
      name,
      rule: ruleOf(values, definition, options),
      scope: key !== 'address' && upstream.onlyTracker !== undefined ? 'member' : 'shared',
      key: key === 'address' ? ({ address }) => address : key === 'member' ? ({ id }) => id : key,
      secret: definition.secret ?? false,
      cost: costBy(definition.cost),
      format: formatOf(definition, values),
    };
  });
  // All that take from several take in one order.
  limits.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { name: upstream.name, limits, shares: { callFirst: options.callFirst, bulkLeast: options.bulkLeast } };
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
  if (typeof cost === 'function') return (answer) => cost(contextOf(answer));
  const table = new Map(Object.entries(cost));
  return ({ status }) => table.get(String(status)) ?? table.get(`${Math.floor(status / 100)}xx`);
}

function formatOf({ learn }: LimitDefinition, { tokens }: LimitOptions): Format | LimitReader | null | undefined {
  if (learn === undefined) return tokens === null ? undefined : null;
  if (learn === false) return null;
  if (learn === 'headers') return undefined;
  if (typeof learn !== 'function') return learn;
  return (answer) => {
    const told = learn(contextOf(answer as Answered));
    return told ? [told] : [];
  };
}

function contextOf(answer: Answered): CostContext {
  return {
    status: answer.status,
    request: answer.request,
    header: (name) => answer.header(name),
    get body() {
      return answer.body;
    },
  };
}
