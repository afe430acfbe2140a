/** The metrics of upstreams' limits, as a scrape reads them. */
import { Registry } from 'prom-client';
import { BudgetMetrics, type BucketState, type Spent } from '../../activities/upstream/telemetry';

const spent = (more: Partial<Spent>): Spent => ({
  ...{ upstream: 'esi', limit: 'errors', key: 'here', status: 200, tokens: 0, isRefusal: false, remaining: undefined },
  ...more,
});

test('tokens by outcome, refusals, what is left by key, and what the node has of all buckets of a limit', async () => {
  const registry = new Registry();
  const state = (more: Partial<BucketState>): BucketState => ({
    ...{ upstream: 'esi', limit: 'errors', has: 2, wants: 0, isClosed: false },
    ...more,
  });
  const metrics = new BudgetMetrics(registry, () => [state({}), state({ has: 3, wants: 4, isClosed: true })]);
  metrics.note(spent({ status: 403, tokens: 1, remaining: 98 }));
  metrics.note(spent({ status: 404, tokens: 1, remaining: 97 }));
  metrics.note(spent({ status: 420, isRefusal: true, remaining: 0 }));
  // A member's own bucket, and a cost that nobody knows.
  metrics.note(spent({ limit: 'group', key: undefined, tokens: 2, remaining: 10 }));
  metrics.note(spent({ tokens: NaN }));
  const page = await registry.metrics();
  const lines = page.split('\n').filter((line) => line.startsWith('longwatch_'));
  expect(lines.sort()).toEqual([
    'longwatch_budget_closed{upstream="esi",limit="errors"} 1',
    'longwatch_budget_exceeded_total{upstream="esi",limit="errors"} 1',
    'longwatch_budget_has{upstream="esi",limit="errors"} 5',
    'longwatch_budget_remaining{upstream="esi",limit="errors",key="here"} 0',
    'longwatch_budget_spent_total{upstream="esi",limit="errors",outcome="4xx"} 2',
    'longwatch_budget_spent_total{upstream="esi",limit="group",outcome="2xx"} 2',
    'longwatch_budget_wants{upstream="esi",limit="errors"} 4',
  ]);
});

test('an upstream with a bucket for each of many keys does not fill the page', async () => {
  const registry = new Registry();
  const metrics = new BudgetMetrics(registry, () => []);
  for (let i = 0; i < 1_000; i++) metrics.note(spent({ key: `key ${i}`, remaining: i }));
  expect((await registry.metrics()).match(/longwatch_budget_remaining\{/g)).toHaveLength(100);
});
