/**
 * The dashboard: its lists and what pages that listen cost, over a million members; and what the history costs a node.
 * `BENCH_PART=page` or `series` runs one of them; `BENCH_MEMBERS`, `BENCH_SECONDS` and `BENCH_TURNS` make them small.
 */
import { runParts, type Parts } from '../../harness/parts';
import { defineScenario } from '../../harness/scenario';
import { MEMBERS, page, PAGES, POOLS } from './page';
import { series } from './series';

const PARTS: Parts = { page, series };

export const scenario = defineScenario({
  title: `the dashboard over ${MEMBERS.toLocaleString('en-US')} members in ${POOLS} pools: its lists, ${PAGES} pages that listen; the cost of the history`,
  run: (bench) => runParts(bench, PARTS),
});
