/**
 * The indexes, on a system that is live: each is built CONCURRENTLY, so nobody waits, and a build that was broken off
 * (it leaves an invalid index behind) is done again. Run again, it does nothing.
 *
 * There is none for the regen. One on (is_dead, stamina) for living players below their maximum looks right, and is
 * what costs most: its columns, and those of its predicate, change with every tick, so each row's update has to write
 * the index and cannot be HOT, while the statement reads nearly the whole table anyway. Measured, it makes the tick
 * three to four times slower; a system that has it loses it here.
 */
import type { MigrationBuilder } from 'node-pg-migrate';

const INDEXES: Readonly<Record<string, string>> = {
  // The sweep's: the longest idle first, and only the due ones are read.
  combat_by_turn: 'game.combat (turn_started_at)',
  // A player's own fight, and the cascade of a player's deletion.
  combat_by_player: 'game.combat (player)',
  // The decay's. Items lie there in the order of their age, so a BRIN index would do as well at a hundredth of the
  // size; but below some millions of items a B-tree is as good, and it also stays right when old items come back.
  item_by_age: 'game.item (dropped_at)',
};
const HARMFUL = 'player_stamina_regen';

export async function up(pgm: MigrationBuilder): Promise<void> {
  // CONCURRENTLY is not possible inside of a transaction.
  pgm.noTransaction();
  pgm.sql(`drop index concurrently if exists game.${HARMFUL}`);
  for (const [name, columns] of Object.entries(INDEXES)) {
    if ((await validity(pgm, name)) === false) pgm.sql(`drop index concurrently game.${name}`);
    pgm.sql(`create index concurrently if not exists ${name} on ${columns}`);
  }
}

/** Undefined where there is no such index. */
async function validity(pgm: MigrationBuilder, name: string): Promise<boolean | undefined> {
  const rows = (await pgm.db.select(
    `select indisvalid from pg_index where indexrelid = to_regclass('game.${name}')`,
  )) as {
    indisvalid: boolean;
  }[];
  return rows[0]?.indisvalid;
}

export function down(pgm: MigrationBuilder): void {
  pgm.noTransaction();
  for (const name of Object.keys(INDEXES)) pgm.sql(`drop index concurrently if exists game.${name}`);
}
