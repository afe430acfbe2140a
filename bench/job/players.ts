/**
 * The tables of the scenarios `regen` and `sweep`: players as a game has them, and the plain statements that are the
 * reference.
 */
import type { Stack } from '../../test/support/stack';

/** The columns that matter of the game's table, at a realistic width. */
const COLUMNS = `id bigint primary key, name text not null, stamina int not null, max_stamina int not null,
  endurance int not null, is_dead boolean not null default false, location text not null, note text not null`;

/** Before each statement that is timed: nobody is full, so that every row changes. */
const SPENT = 0;

/** @param room fillfactor: what is left free on a page, so that updates can be HOT. */
export async function makePlayers(stack: Stack, table: string, rows: number, room = 50): Promise<void> {
  await stack.sql(`create table ${table} (${COLUMNS}) with (fillfactor = ${room}, autovacuum_enabled = off)`);
  await stack.sql(`insert into ${table}
    select i, 'player ' || i, ${SPENT}, 1000000, 10 + i % 20, false, 'zone ' || i % 100, repeat('x', 40) from generate_series(1, ${rows}) i`);
  await settle(stack, table);
}

/** The same state of the table before each reading: vacuumed, statistics, checkpoint. */
export async function settle(stack: Stack, table: string): Promise<void> {
  await stack.sql(`vacuum (analyze) ${table}`);
  await stack.sql('checkpoint');
}

/** The best single statement there is. */
export const bareUpdate = (table: string): string =>
  `update ${table} set stamina = least(stamina + 1 + endurance / 10, max_stamina) where not is_dead and stamina < max_stamina`;

/** Milliseconds that a statement takes on a connection of its own. */
export async function timed(stack: Stack, statement: string): Promise<number> {
  const began = performance.now();
  await stack.sql(statement);
  return performance.now() - began;
}
