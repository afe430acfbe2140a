/**
 * The game's three background jobs. `longwatch.config.ts` registers them; `check.ts` says afterwards whether they were
 * right.
 */
import { defineDecay, defineRegen, defineSweep } from 'longwatch';
import type { GameSettings } from './settings';

/** By id: rows leave the database with ids as text. */
interface Combat {
  [column: string]: unknown;
  id: string;
}

/** Looked at again: a turn may have been made since the fight was claimed. */
const END_IDLE = `
  with idle as (
    delete from game.combat
    where id = any($1::bigint[]) and turn_started_at < now() - make_interval(secs => $2)
    returning id, player, rounds, now() - turn_started_at as idle
  )
  insert into game.combat_result (combat, player, outcome, rounds, idle)
  select id, player, 'timed out', rounds, idle from idle`;

export function gameJobs({ regenEvery, combatEvery, decayEvery, idleSeconds, decaySeconds }: GameSettings) {
  const stamina = defineRegen({
    name: 'stamina',
    every: regenEvery,
    table: 'game.player',
    rule: { column: 'stamina', add: '1 + endurance / 10', max: 'max_stamina' },
    where: 'not is_dead',
  });
  const combats = defineSweep<Combat>({
    name: 'combats',
    every: combatEvery,
    table: 'game.combat',
    due: `turn_started_at < now() - interval '${idleSeconds} seconds'`,
    order: 'turn_started_at',
    page: 100,
    warnAfter: '10s',
    handle: async (rows, { tx }) => {
      await tx.query(END_IDLE, [rows.map(({ id }) => id), idleSeconds]);
    },
  });
  const items = defineDecay({
    name: 'items',
    every: decayEvery,
    table: 'game.item',
    where: `dropped_at < now() - interval '${decaySeconds} seconds'`,
  });
  return { regens: [stamina], sweeps: [combats], decays: [items] };
}
