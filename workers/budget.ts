/**
 * The part of a worker whose config has upstreams with limits: the budget of its node, what was set by hand, and the
 * config with code that takes its tokens first. Called by `parts.ts`.
 */
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { Database, OWN_LIMITS } from '../activities/lib/database';
import { service, Services, type Service } from '../activities/lib/service';
import type { Clock } from '../activities/tracker/shift/clock';
import { NodeBudget } from '../activities/upstream/budget/node';
import { budgetedConfig } from '../activities/upstream/spend/before';
import { UNLISTED, WorkerSpending } from '../activities/upstream/spend/run';
import { UpstreamSettings } from '../activities/upstream/spend/settings';
import { setDefaultSpending, setWorkerSpending, unsetWorkerSpending } from '../activities/upstream/spending';
import type { Spender } from '../activities/upstream/budget/spender';
import type { ResolvedConfig } from '../config/resolve/config';
import { BUDGET_CONNECTIONS } from './connection-budget';
import type { WorkerSetup } from './setup';

export interface WorkerBudget {
  spender: Spender;
  /** Its code asks the spender where it names an upstream. */
  config: ResolvedConfig;
  service: Service;
}

/** For a worker whose config limits nothing: code that asks an upstream with limits is told that nobody keeps them. */
export function withoutLimits(): Service {
  return service({
    start: () => Promise.resolve(setDefaultSpending(UNLISTED)),
    stop: () => Promise.resolve(unsetWorkerSpending(UNLISTED)),
  });
}

/** Whether anything in the config has a limit. */
export function hasLimits({ upstreams = [] }: ResolvedConfig): boolean {
  return upstreams.some(({ limits }) => Object.keys(limits).length > 0);
}

/**
 * Undefined: nothing is limited. `clock`: the database's as the node reads it, epoch milliseconds.
 */
export function budgetOf(
  setup: WorkerSetup,
  node: string,
  log: Logger,
  { clock, registry }: { clock: () => Pick<Clock, 'now' | 'toStore'>; registry: Registry },
): WorkerBudget | undefined {
  const { config, databaseUrl: url, directDatabaseUrl: directUrl } = setup;
  if (!hasLimits(config)) return undefined;
  // An answer that does not come is given up before a part has ended.
  const limits = { ...OWN_LIMITS, statementTimeoutMs: 2_000 };
  const database = new Database({ url, directUrl, log, ...limits, connections: BUDGET_CONNECTIONS });
  const address = setup.egress ?? hostname();
  const now = (): number => clock().now() / 1_000;
  const ahead = (): number => clock().toStore(0) / 1_000;
  const budget = new NodeBudget({ database, node, address, log, registry, now, ahead });
  const { spender } = budget;
  const upstreams = (config.upstreams ?? []).filter(({ limits }) => Object.keys(limits).length > 0);
  const settings = new UpstreamSettings({
    database,
    upstreams,
    define: (upstream) => spender.define(upstream),
    hearLimit: (...word) => spender.hearLimit(...word),
    log,
  });
  const worker = new WorkerSpending(spender);
  return {
    spender,
    config: budgetedConfig(config, spender),
    service: new Services([
      service({ stop: () => database.close() }),
      settings,
      budget,
      service({
        start: () => Promise.resolve(setWorkerSpending(worker)),
        stop: () => Promise.resolve(unsetWorkerSpending(worker)),
      }),
    ]),
  };
}
