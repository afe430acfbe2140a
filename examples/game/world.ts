/**
 * Makes the game's tables (`migrations/`) and fills them. Called by `main.ts`, and by the benchmark of the game's jobs.
 * Everything about a new player follows from the id, so that the check needs no copy of how it was.
 */
import path from 'node:path';
import runner from 'node-pg-migrate';
import { Client, type Pool } from 'pg';
import type { Logger } from 'pino';

/** SQL over `id`. A third of the players come near their maximum within some ticks, the others do not. */
export const NEW_PLAYER = {
  endurance: '(id % 50)::integer',
  maxStamina: '(100 + id % 400)::integer',
  stamina: '((id * 7919) % (100 + id % 400))::integer',
  isDead: 'id % 20 = 0',
} as const;

/** One at a time on a database. @returns the names of the migrations that were applied now. */
export async function migrateGame(databaseUrl: string, log: Logger): Promise<string[]> {
  const applied = await runner({
    databaseUrl,
    dir: path.join(__dirname, 'migrations'),
    direction: 'up',
    migrationsTable: 'game_migrations',
    checkOrder: true,
    logger: {
      debug: () => undefined,
      info: () => undefined,
      warn: (message) => log.warn(message),
      error: () => undefined,
    },
  });
  return applied.map(({ name }) => name);
}

export interface Seeding {
  players: number;
  /** Fights, of different players; the first `idleCombats` of them without a turn for ten times `idleSeconds`. */
  combats: number;
  idleCombats: number;
  idleSeconds: number;
  /** On the ground; the first `oldItems` of them for ten times `decaySeconds`. */
  items: number;
  oldItems: number;
  decaySeconds: number;
}

const SEED_PLAYERS = `
  insert into game.player (id, name, endurance, max_stamina, stamina, is_dead)
  select id, 'player ' || id, ${NEW_PLAYER.endurance}, ${NEW_PLAYER.maxStamina}, ${NEW_PLAYER.stamina}, ${NEW_PLAYER.isDead}
  from generate_series($1::bigint, $2::bigint) as id`;
const SEED_COMBATS = `
  insert into game.combat (player, enemy, turn_started_at)
  select n, 'wolf', now() - case when n <= $2 then make_interval(secs => $3 * 10) else interval '0' end
  from generate_series(1, $1::bigint) as n`;
const SEED_ITEMS = `
  insert into game.item (kind, x, y, dropped_at)
  select 'coin', n % 1000, n / 1000, now() - case when n <= $2 then make_interval(secs => $3 * 10) else interval '0' end
  from generate_series(1, $1::bigint) as n`;

const CHUNK = 250_000;

/** The server makes the rows itself; a million players take some seconds. */
export async function seedGame(
  pool: Pool,
  seeding: Seeding,
  onPlayers: (made: number) => void = () => undefined,
): Promise<void> {
  for (let from = 1; from <= seeding.players; from += CHUNK) {
    const to = Math.min(from + CHUNK - 1, seeding.players);
    await pool.query(SEED_PLAYERS, [from, to]);
    onPlayers(to);
  }
  await pool.query(SEED_COMBATS, [seeding.combats, seeding.idleCombats, seeding.idleSeconds]);
  await pool.query(SEED_ITEMS, [seeding.items, seeding.oldItems, seeding.decaySeconds]);
}

/** The state of a system that has run for a while: a visibility map and statistics. */
export async function settleGame(databaseUrl: string): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query('vacuum (analyze) game.player, game.combat, game.item');
  } finally {
    await client.end();
  }
}
