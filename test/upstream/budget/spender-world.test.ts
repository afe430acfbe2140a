/**
 * The spender of a node, with its lines and reservations of whole runs, through the histories of `world.test.ts`: the
 * same bad days, the same promises.
 */
import { simulate } from '../../support/simulate';
import { Draws } from '../../support/draws';
import { promises } from './world/promises';
import { SpenderNode, SpenderWorld, type SpenderOptions } from './world/spender-node';
import { BudgetWorld, draw, type History } from './world/world';

/**
 * Runs of several requests use as many tokens as single ones: what they set aside takes no place in the pace, and goes
 * back when they end. Refusals until a lowered limit is found out, times those of single requests: fitted, not proven.
 */
const ASIDE = {
  one: { tokens: 0, refusals: 1.5 },
  three: { tokens: 0, refusals: 2 },
  any: { tokens: 0, refusals: 2 },
  twenty: { tokens: 0, refusals: 2 },
};

simulate(
  'nodes that spend as workers do: nothing above the limit, and nobody waits for a bucket that is not his',
  (seed) => {
    const draws = new Draws(seed ^ 0x1234567);
    const history: History = draw(seed);
    const runs = draws.one<SpenderOptions['runs']>(['one', 'one', 'three', 'twenty', 'any']);
    const world = new SpenderWorld();
    const budget = new BudgetWorld(history, (around, options) => new SpenderNode(around, options, { runs }, world));
    const outcome = budget.live();
    if (world.failure) throw world.failure;
    const broken = promises(history, outcome, ASIDE[runs]);
    if (history.fault === 'none' && world.longestSpareWait > 6)
      broken.push(`one waited ${world.longestSpareWait} s whose bucket has plenty`);
    if (broken.length > 0)
      throw new Error(`${broken.join('; ')}\n${JSON.stringify({ runs, ...history })}\n${JSON.stringify(outcome)}`);
  },
  // Hundreds of refusals after a limit was lowered, of what nodes had in hand when it was closed; a bucket that was
  // forgotten and used again, whose spends were taken for those of before; one whose only node was suspended, whose
  // time another node caught up with; a bucket that was closed and asked all the same; fifteen places of sixteen nodes,
  // of which one never had its turn.
  { histories: 60, examples: [1915553288, 1239, 340468062, 1567080169, 1011867087] },
);
