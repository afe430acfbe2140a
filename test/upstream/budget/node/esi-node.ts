/**
 * A node in a process of its own, for `esi.test.ts`: the client that users have, the budget of a node, and code that
 * asks as often as it may. Arguments: the upstream's address, the database's, the node's name. It tells its parent how
 * many answers it had, and ends at a message.
 */
import { pino } from 'pino';
import { Database } from '../../../../activities/lib/database';
import { NodeBudget } from '../../../../activities/upstream/budget/node';
import { limitedUpstream } from '../../../../activities/upstream/budget/resolve';
import type { Use } from '../../../../activities/upstream/budget/spender';
import { RunSpending } from '../../../../activities/upstream/spend/run';
import { spendingAs } from '../../../../activities/upstream/spending';
import { resolveUpstream } from '../../../../config/resolve/upstream';
import { defineUpstream, type UpstreamDefinition } from '../../../../exports/upstream';

const [origin, databaseUrl, name] = process.argv.slice(2) as [string, string, string];
const log = pino({ level: process.env.LONGWATCH_TEST_LOG ?? 'silent' });

const definition: UpstreamDefinition = {
  name: 'esi',
  origin,
  limits: {
    errors: {
      key: 'address',
      tokens: 100,
      window: '1m',
      shape: 'fixed',
      closesAtEnd: true,
      learn: 'esi-errors',
      cost: ({ status, header }) => (status >= 400 && header('x-ratelimit-group') === undefined ? 1 : 0),
      greatestCost: 1,
    },
    group: {
      key: ({ id, header }) => `${header('x-ratelimit-group')}:${id}`,
      learn: 'headers',
      cost: { 200: 2, 304: 1, '4xx': 5, 429: 0, '5xx': 0 },
    },
  },
};
const esi = defineUpstream(definition);

const answers = { good: 0, errors: 0, refused: 0, held: 0 };
let isOver = false;

/** One kind of request, again and again: reserved for, sent, waited for where there is nothing. */
async function ask(budget: NodeBudget, use: Use, path: string): Promise<void> {
  while (!isOver) {
    const spending = new RunSpending(budget.spender, use);
    const shortage = spending.reserve('esi');
    if (shortage) {
      await new Promise<void>((wake) => {
        const leave = shortage.join({ class: use.class, requests: 1, wake });
        setTimeout(() => {
          leave();
          wake();
        }, 500);
      });
      continue;
    }
    try {
      await spendingAs(spending, () => esi.get(path));
      answers.good++;
    } catch (error) {
      const status = (error as { status?: number }).status;
      if (status === undefined) answers.held++;
      else if (status === 429 || status === 420) answers.refused++;
      else answers.errors++;
      // A hold of its member.
      if (status === undefined) await new Promise((later) => setTimeout(later, 200));
    } finally {
      spending.end();
    }
  }
}

async function main(): Promise<void> {
  const database = new Database({ url: databaseUrl, log, connections: 2 });
  const budget = new NodeBudget({ database, node: name, address: 'one address', log });
  const problems: string[] = [];
  budget.spender.define(limitedUpstream(resolveUpstream(definition, problems)));
  if (problems.length > 0) throw new Error(problems.join('; '));
  await budget.start();
  const work: Promise<void>[] = [];
  const from = (by: string, id: string): Use => ({ class: 'watch', by, id });
  for (let character = 1; character <= 6; character++) {
    const id = String(90_000_000 + character);
    for (const route of ['location', 'wallet'])
      work.push(ask(budget, from(`t/${route}`, id), `/characters/${id}/${route}/`));
  }
  // A route of the old limiter that always fails, and one that does not.
  for (let i = 0; i < 8; i++) work.push(ask(budget, from('t/gone', `g${i}`), `/gone/${i}?status=404`));
  work.push(ask(budget, from('t/status', 's'), '/status'));
  process.on('message', () => (isOver = true));
  process.on('disconnect', () => process.exit(1));
  process.send!('ready');
  await Promise.all(work);
  await budget.stop();
  await esi.close();
  await database.close();
  process.send!(answers);
  process.disconnect();
}

void main();
