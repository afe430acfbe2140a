/**
 * Nodes of a budget on the real PostgreSQL, and an upstream in this process that counts to the token: its own code, not
 * the ledger's, for a copy of the same approximation would agree with it and prove nothing.
 */
import { performance } from 'node:perf_hooks';
import { pino } from 'pino';
import { Database } from '../../../../activities/lib/database';
import { NodeBudget, type NodeBudgetOptions } from '../../../../activities/upstream/budget/node';
import { limitOf, type Limit } from '../../../../activities/upstream/budget/limit';
import type {
  LimitedUpstream,
  Spend,
  Shortage,
  UpstreamLimit,
  Use,
} from '../../../../activities/upstream/budget/spender';

const log = pino({ level: process.env.LONGWATCH_TEST_LOG ?? 'silent' });

/** A limit of one bucket for all, that costs one token each. */
export function oneLimit(rule: Partial<Limit>, more: Partial<UpstreamLimit> = {}): UpstreamLimit {
  return {
    name: 'all',
    rule: limitOf({ others: false, ...rule }),
    scope: 'shared',
    key: () => 'one',
    secret: false,
    cost: () => 1,
    format: null,
    ...more,
  };
}

export const upstreamOf = (...limits: UpstreamLimit[]): LimitedUpstream => ({ name: 'up', limits });

export class TestNode {
  readonly database: Database;
  readonly budget: NodeBudget;

  constructor(
    readonly name: string,
    url: string,
    upstream: LimitedUpstream,
    more: Partial<NodeBudgetOptions> = {},
  ) {
    this.database = new Database({ url, log, connections: 2, statementTimeoutMs: 1_000 });
    this.budget = new NodeBudget({ database: this.database, node: name, address: 'here', log, ...more });
    this.budget.spender.define(upstream);
  }

  async start(): Promise<this> {
    await this.budget.start();
    return this;
  }

  async stop(): Promise<void> {
    await this.budget.stop();
    await this.database.close();
  }

  /** One request's tokens, or the shortage. */
  take(use: Partial<Use> = {}): Spend | Shortage {
    const reservation = this.budget.spender.reserve('up', { class: 'watch', by: 't/look', id: 'a', ...use }, 1);
    if (reservation.isShort) return reservation;
    const spend = reservation.draw({ method: 'GET', path: '/look' });
    reservation.end();
    return spend;
  }

  /** Waits in line until there is one. */
  async taken(use: Partial<Use> = {}): Promise<Spend> {
    for (;;) {
      const spend = this.take(use);
      if (!spend.isShort) return spend;
      await new Promise<void>((resolve) => {
        spend.join({ class: use.class ?? 'watch', requests: 1, wake: resolve });
      });
    }
  }
}

/** An upstream of a floating window that keeps each spend. */
export class CountingUpstream {
  refused = 0;
  served = 0;
  private readonly spends: { at: number; tokens: number }[] = [];

  constructor(
    private readonly tokens: number,
    private readonly windowMs: number,
  ) {}

  /** Tokens that are left, or undefined: refused. */
  ask(tokens = 1): number | undefined {
    const now = performance.now();
    while (this.spends.length > 0 && this.spends[0]!.at <= now - this.windowMs) this.spends.shift();
    const used = this.spends.reduce((sum, spend) => sum + spend.tokens, 0);
    if (used + tokens > this.tokens) {
      this.refused++;
      return undefined;
    }
    this.served++;
    this.spends.push({ at: now, tokens });
    return this.tokens - used - tokens;
  }
}

export const answer = (status = 200, headers: Record<string, string> = {}, refusedForMs?: number) => ({
  status,
  header: (name: string) => headers[name],
  body: undefined,
  ...(refusedForMs !== undefined && { refusedForMs }),
});
