/**
 * A node that spends limited keys, in a process of its own: its budget on the shared ledger, and for each key some who
 * ask one request after another, as durable activities do. Called by `scenarios/budget/{closing,windows}.ts`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { NodeBudget } from '../../activities/upstream/budget/node';
import { limitedUpstream } from '../../activities/upstream/budget/resolve';
import { spendingFor } from '../../activities/upstream/spend/before';
import { resolveUpstream } from '../../config/resolve/upstream';
import type { LimitDefinition } from '../../config/define/upstream';
import { defineUpstream, HoldError } from '../../exports/upstream';
import { serve } from '../harness/child';

export interface SpendingNode {
  name: string;
  databaseUrl: string;
  origin: string;
  limit: Omit<LimitDefinition, 'key'>;
  keys: number;
  /** Requests at once for each key, and the pause before each of them. */
  atOnce: number;
  pauseMs: number;
}

const log = pino({ level: 'warn' }, pino.destination(2));
let isOver = false;
let working: Promise<unknown> = Promise.resolve();

async function start({ name, databaseUrl, origin, limit, keys, atOnce, pauseMs }: SpendingNode): Promise<void> {
  const definition = { name: 'bench', origin, limits: { all: { ...limit, key: ({ id }: { id?: string }) => id } } };
  const problems: string[] = [];
  const resolved = resolveUpstream(definition, problems);
  if (problems.length > 0) throw new TypeError(problems.join('; '));
  const database = new Database({ url: databaseUrl, log, connections: 2, statementTimeoutMs: 2_000 });
  const budget = new NodeBudget({ database, node: name, address: 'here', log });
  budget.spender.define(limitedUpstream(resolved));
  await budget.start();
  const upstream = defineUpstream(definition);
  const ask = async (id: string): Promise<void> => {
    while (!isOver) {
      await delay(pauseMs * (0.5 + Math.random()));
      const use = { class: 'call', by: 'bench', id } as const;
      const asked = spendingFor(budget.spender, 'bench', use, () => upstream.get(`/${id}/${name}`));
      await asked.catch(async (error: unknown) => {
        if (!(error instanceof HoldError)) throw error;
        await delay(Math.min(500, error.afterMs));
      });
    }
  };
  const ids = Array.from({ length: keys }, (_, key) => `key-${key}`);
  working = Promise.all(ids.flatMap((id) => Array.from({ length: atOnce }, () => ask(id))));
}

serve({
  start,
  stop: async () => {
    isOver = true;
    await working;
  },
});
